"""The card of an augmented dataset, filled by what a run knows."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from fac_datasets.coverage.interval import with_interval
from fac_datasets.coverage.names import shown_name
from fac_datasets.coverage.shares import DENOMINATORS, counted_by
from fac_datasets.diversity.all_measures import measures_table
from fac_datasets.files.resources import resource_folder

if TYPE_CHECKING:
    from fac_datasets.coverage.report import CoverageReport
    from fac_datasets.review.agreement import ReviewSummary
    from fac_datasets.synthesis.augment import AugmentedDataset
    from fac_datasets.synthesis.kinds.base import DataKind

TAGS = ("sparse-autoencoder", "fac", "fac-datasets")


SYNTHETIC = "synthetic"
"""The Hub's tag for what no person wrote."""

HARMFUL = "not-for-all-audiences"
"""The Hub's tag for what it asks people about before it shows it."""


class LeakCheck(NamedTuple):
    """What of a dataset stands in the anchor too."""

    synthetic_rows: int
    """Verbatim or nearly so."""
    seed_rows: int
    """With the same text."""
    dropped: int = 0
    """Synthetic rows that were left out since they stood there."""


@dataclass(frozen=True)
class CardFacts:
    """What a dataset card says beside the report."""

    license: str | list[str] | None = None
    """Hub identifier."""
    license_name: str | None = None
    """Of a licence that the Hub does not know, whose identifier is `other`."""
    license_link: str | None = None
    language: str | list[str] | None = None
    """Codes."""
    task_categories: Sequence[str] = ()
    """As the Hub names them."""
    not_for_all_audiences: bool = False
    kind: DataKind | None = None
    """Of the rows; None where it is not known."""
    leaks: LeakCheck | None = None
    """None where nobody looked."""
    review: ReviewSummary | None = None
    n_not_accepted: int = 0
    """Synthetic rows in the dataset that reviewers dropped or have not decided on."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of features."""
    extra_rows: Mapping[str, int] = field(default_factory=dict)
    """Of the optional configs."""
    plots: Sequence[str] = ()
    """Files beside the card."""


def dataset_card(
    report: Mapping[str, Any],
    augmented: AugmentedDataset,
    header: Mapping[str, Any],
    facts: CardFacts,
    *,
    after: CoverageReport | None = None,
) -> str:
    """The card of an augmented dataset, from `cards/dataset.md`.

    Args:
        report: content of `report.json`, or `to_dict` of the seed's CoverageReport.
        augmented: the dataset.
        header: `configs` and `dataset_info`, as `write_tables` returns them.
        facts: the rest.
        after: coverage of the augmented dataset, where the report does not tell it.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    rows = augmented.dataset.num_rows
    names = {**{int(feature): name for feature, name in (report.get("names") or {}).items()}, **facts.names}
    source = str(report["dataset"]["id"]).partition(":")[0].partition("@")[0]
    data = DatasetCardData(
        license=facts.license,
        license_name=facts.license_name,
        license_link=facts.license_link,
        language=facts.language,
        size_categories=[size_category(rows["train"])],
        task_categories=list(facts.task_categories) or None,
        source_datasets=[source] if re.fullmatch(r"[\w.-]+/[\w.-]+", source) else None,
        tags=[*([SYNTHETIC] if rows["synthetic"] else []), *TAGS, *([HARMFUL] if facts.not_for_all_audiences else [])],
        **header,
    )
    card = DatasetCard.from_template(
        data,
        template_path=str(resource_folder("cards") / "dataset.md"),
        report=report,
        facts=facts,
        after=None if after is None else after.to_dict(),
        rows=rows,
        measures=measures_table(report["measures"]) if "measures" in report else "",
        prompts=_prompts(augmented),
        checked=_checked(facts.kind, report.get("verifier")),
        sources=_sources(report),
        still_missing=report.get("still_missing") if after is None else after.to_dict()["missing"],
        interval=with_interval,
        by=counted_by(report),
        shares=_shares(report, after),
        text=as_markdown_text,
        link=quote,
        named=lambda features: ", ".join(_named(int(feature), names) for feature in features),
    )
    # Parts that are left out leave their blank lines.
    return re.sub(r"\n{3,}", "\n\n", str(card)).strip() + "\n"


def _prompts(augmented: AugmentedDataset) -> dict[str, Any]:
    """How the synthetic rows were made, from their provenance."""
    provenance = augmented.provenance
    digests = sorted(set(provenance["prompt_digest"]))
    return {
        "generators": ", ".join(f"`{name}`" for name in sorted(set(provenance["generator"]))),
        "count": len(digests),
        "digest": hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16],
        # A sample that serves another feature than it was made for says so, with that feature's number.
        "parts": dict(Counter(part.replace("_", " ") for part in provenance["target_part"] if part).most_common()),
        "methods": dict(Counter(method.partition(", made for")[0] for method in provenance["method"]).most_common()),
    }


def _checked(kind: DataKind | None, verifier: str | None) -> str:
    """What is said of labels, responses and pairs; empty where a kind has none of them."""
    if kind is None or not kind.claims:
        return ""
    what = {"label": "Labels", "response": "Responses", "order": "Order of the pairs", "behaviour": "Matching answers"}
    if verifier:
        return f"{what[kind.claims]}: checked by `{verifier}`; rows on which it disagreed are left out"
    return "Labels asked for, not checked" if kind.claims == "label" else f"{what[kind.claims]}: not checked"


def _sources(report: Mapping[str, Any]) -> dict[str, Any]:
    if "before" not in report:
        return {"seed": report["dataset"], "anchor": report["anchor"]}
    # What was given tells revision and split, what was measured the tokens.
    given = report["given"]
    parts = {name: scores["anchor"] for name, scores in report["before"].items()}
    return {"seed": {**given["seed"], "tokens": report["dataset"]["tokens"]}, "anchor": given["anchor"], **parts}


def _shares(report: Mapping[str, Any], after: CoverageReport | None) -> list[dict[str, Any]]:
    """Shares of features covered, by dataset and by which features; reports of earlier versions hold none."""
    if "before" in report:
        sides = {"seed": report["before"], **{f"seed + {name}": of for name, of in report["after"].items()}}
        measured = {f"{name} on {anchor}": of[anchor] for name, of in sides.items() for anchor in of}
    else:
        measured = {"seed": report, **({} if after is None else {"augmented": after.to_dict()})}
    return [
        {"dataset": name, "features": words, **scores[key], "fac": scores[key]["share"]}
        for name, scores in measured.items()
        for key, words in DENOMINATORS.items()
        if scores.get(key)
    ]


def _named(feature: int, names: Mapping[int, str]) -> str:
    """A feature with its name, which comes from data and is shown as text."""
    name = shown_name(names.get(feature, ""))
    return f"{feature} ({as_markdown_text(name)})" if name else str(feature)


def as_markdown_text(text: str) -> str:
    """A text that Markdown shows as it is: no markup, link, image or table in it has an effect.

    Example:
        >>> as_markdown_text("<b>*bold*</b>")
        '&lt;b&gt;\\\\*bold\\\\*&lt;/b&gt;'
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$:])", r"\\\1", escaped)


def size_category(rows: int) -> str:
    """The Hub's class of a number of rows."""
    sizes = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    place = max(0, len(str(rows)) - 3)
    if place == 0:
        return f"n<{sizes[0]}"
    return f"{sizes[place - 1]}<n<{sizes[place]}" if place < len(sizes) else f"n>{sizes[-1]}"
