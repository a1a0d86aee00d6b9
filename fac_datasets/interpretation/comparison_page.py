"""A comparison as a page of HTML: one file without network or script, of which every text from data is text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fac_datasets.interpretation.excerpts import visible

_STYLE = """
:root { color-scheme: light dark; --a: #1f77b4; --b: #d9730d; --line: #8884; --mark: #ffd54a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; font: 1rem/1.45 system-ui, sans-serif; }
body { overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0 0 .4rem; }
p { margin: .3rem 0; }
article { border-top: 1px solid var(--line); padding: .8rem 0; }
.id, .quiet { color: #777; font-weight: normal; }
.bar { position: relative; height: 1rem; margin: .4rem 0; border-bottom: 1px solid var(--line); }
.bar i { position: absolute; top: 0; bottom: 0; left: 50%; border-left: 1px solid #888; }
.bar b { position: absolute; top: .35rem; height: .3rem; border-radius: .15rem; min-width: 2px; opacity: .55; }
.bar s { position: absolute; top: .15rem; width: .7rem; height: .7rem; margin-left: -.35rem; border-radius: 50%; }
.a b, .a s { background: var(--a); } .b b, .b s { background: var(--b); }
.note { display: inline-block; border: 1px solid var(--line); border-radius: .3rem; padding: 0 .4rem; }
ul { margin: .2rem 0; padding-left: 1.2rem; } mark { background: var(--mark); color: #000; }
.spans { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .2rem 1.5rem; }
"""

_HEAD = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    # Should a text ever pass for a tag, it still could neither load nor run anything.
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
)


def comparison_page(report: Mapping[str, Any], first: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The page of a comparison.

    Args:
        report: what `Comparison.to_dict` gives.
        first: features by the side that has more of them, with all columns of the comparison's table.
    """
    names = {side: _text(report[side]["name"]) for side in first}
    title = " against ".join(names.values())
    rows = [f"{report[side]['rows']:,} of {name}" for side, name in names.items()]
    ends = [abs(row[end]) for features in first.values() for row in features for end in ("low", "high")]
    scale = math.ceil(10 * max(ends, default=1)) / 10
    facts = [
        f"{report['n_features']:,} features in {'pairs' if report['is_paired'] else 'rows'}: {' and '.join(rows)}.",
        f"Effect: {escape(str(report['effect']))}; its bar is the 95 % interval, from {-scale:g} to {scale:g}.",
        f"Active is a feature whose activation exceeds {escape(str(report['threshold']))}. Shown are features that "
        f"differ at a false discovery rate of {report['alpha']:g}.",
    ]
    if report["left_out"]:
        facts.append(f"{report['left_out']:,} rows have no counterpart of about their length and are not compared.")
    parts = [f"<h1>{title}</h1>", *(f"<p>{fact}</p>" for fact in facts)]
    for side, features in first.items():
        more = report[side]["more"]
        counted = f"{more:,} feature{'s' * (more != 1)}" + (
            f", of which the first {len(features):,}" if len(features) < more else ""
        )
        parts += [f"<h2>More in {names[side]}</h2>", f'<p class="quiet">{counted}</p>']
        parts += [_feature(row, side, report, names, scale) for row in features]
    body = "\n".join(parts)
    return f"{_HEAD}<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"


def _feature(
    row: Mapping[str, Any], side: str, report: Mapping[str, Any], names: Mapping[str, str], scale: float
) -> str:
    name = f"<bdi>{_text(row['name'])}</bdi> " if row["name"] else ""
    shares = [
        f"{row[f'rows_{of}']:,} ({row[f'rows_{of}'] / report[of]['rows']:.1%}) of {called}"
        for of, called in names.items()
    ]
    notes = [f"style: {_text(row['style'])}, r {row['style_r']:+.2f}"] if row.get("style") else []
    if row.get("split_half") is False:
        notes.append("the halves differ in sign")
    spans = "".join(_spans(row[f"spans_{of}"], called) for of, called in names.items())
    return "\n".join(
        [
            f'<article class="{side}">',
            f'<h3>{name}<span class="id">feature {row["feature_id"]}</span></h3>',
            f"<p>{row['effect']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], q {row['q']:.2g}; active in "
            f"{' and '.join(shares)}</p>",
            _bar(row, scale),
            *([f"<p>{''.join(f'<span class=note>{note}</span>' for note in notes)}</p>"] if notes else []),
            *([f'<div class="spans">{spans}</div>'] if spans else []),
            "</article>",
        ]
    )


def _bar(row: Mapping[str, Any], scale: float) -> str:
    """An interval and the effect in it, between minus and plus a scale."""
    low, effect, high = (50 * (1 + row[end] / scale) for end in ("low", "effect", "high"))
    return (
        f'<div class="bar" aria-hidden="true"><i></i><b style="left:{low:.2f}%;width:{high - low:.2f}%"></b>'
        f'<s style="left:{effect:.2f}%"></s></div>'
    )


def _spans(spans: Sequence[Mapping[str, Any]], name: str) -> str:
    if not spans:
        return ""
    items = []
    for span in spans:
        text, start, end = span["text"], span["start"], span["end"]
        marked = f"<mark>{_text(_seen(text[start:end]))}</mark>"
        items.append(f"<li><bdi>{_text(text[:start])}{marked}{_text(text[end:])}</bdi></li>")
    return f'<div><p class="quiet">in {name}</p><ul>{"".join(items)}</ul></div>'


def _seen(token: str) -> str:
    """A token, of which one that is blank is shown by signs: features often peak at the end of a line."""
    if token.strip():
        return token
    return "".join("\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}\n" if each == "\n" else "\N{OPEN BOX}" for each in token)


def _text(text: str) -> str:
    """A text from data as HTML that shows it, whatever is in it."""
    return escape(visible(text)).replace("\n", "<br>")
