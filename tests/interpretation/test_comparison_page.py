"""The page of a comparison: every text is text, nothing is loaded, and a telephone shows all of it."""

from __future__ import annotations

import re
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fac_datasets import compare, compare_pairs
from tests.interpretation.comparing import answers_with, texts_with

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

EVIL = [
    "<script>document.title = 'run'</script>",
    '" onmouseover="document.title = \'run\'" x="',
    "</title></style><img src=x onerror=\"document.title = 'run'\">",
    "&amp; &lt;b&gt; & 'quotes' \"double\"",
    "a\x00b\x07c\x1bd\x7fe",
    "right \u202eto left\u202c, mark \u200f, \u2066isolate",
    "a\u200bb\ufeffc\u2028d",
    "half a surrogate \ud800",
    "]]><!-- {{ 7 * 7 }} ${7 * 7} -->",
    "שלום עולם",
    "a" * 3_000,
]
"""Texts that want to be more than text."""


@cache
def evil_rows() -> tuple[Any, Any]:
    """Rows that all activate a feature, whose spans are their texts as far as files can hold them, and silent rows."""
    held = [text.encode("utf-8", "replace").decode() for text in EVIL * 4]
    rows = texts_with(np.full((len(held), 1), 2.0), held)
    return rows.map(lambda row: {"feature_ends": [len(row["text"])]}), texts_with(np.zeros((len(held), 1)))


@cache
def evil_page(name: str | None = None) -> str:
    more = compare(
        *evil_rows(),
        threshold=0.5,
        feature_names=None if name is None else {0: name},
        names=(EVIL[2], EVIL[1]),
        spans=32,
    )
    assert len(more.more_in("a")) == 1
    return more.to_html()


class _Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", EVIL)
def test_no_text_becomes_a_tag_or_an_attribute(name: str) -> None:
    plain, evil = (_Tags(evil_page(each)) for each in ("a name", name))
    assert evil.tags == plain.tags
    assert evil.attributes == plain.attributes
    assert not evil.tags & {"script", "img", "a", "iframe", "link", "object", "form"}
    assert not any(attribute.startswith("on") or attribute in ("src", "href") for attribute in evil.attributes)


def test_every_text_is_shown_as_it_is() -> None:
    shown = _Tags(evil_page()).text
    for text in (EVIL[0], EVIL[1], EVIL[3], EVIL[8], EVIL[9]):
        assert text in shown


def test_characters_that_nobody_sees_are_replaced_by_one_that_everybody_does() -> None:
    page = evil_page(EVIL[4])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800]", page)
    assert "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c" in page
    assert page.encode()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = evil_page()
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_spans_are_marked_where_the_feature_peaks() -> None:
    rows = texts_with(np.full((40, 1), 2.0), ["tea <now>"] * 40)
    rows = rows.map(lambda _: {"feature_starts": [4], "feature_ends": [9], "feature_token_starts": [0, 4]})
    page = compare(rows, texts_with(np.zeros((40, 1))), threshold=0.5).to_html()
    assert "<li><bdi>tea <mark>&lt;now&gt;</mark></bdi></li>" in page


@pytest.mark.parametrize(
    ("token", "shown"), [("\n", "\u21b5<br>"), ("\t", "\u2423"), ("  ", "\u2423\u2423"), (" a", " a")]
)
def test_a_blank_in_which_a_feature_peaks_can_be_seen(token: str, shown: str) -> None:
    text = f"Which one?{token}"
    rows = texts_with(np.full((20, 1), 2.0), [text] * 20)
    places = {"feature_starts": [len("Which one?")], "feature_ends": [len(text)]}
    rows = rows.map(lambda _: places)
    page = compare(rows, texts_with(np.zeros((20, 1))), threshold=0.5, names=("a", "b")).to_html()
    assert f"<mark>{shown}</mark>" in page


def test_bars_lie_within_their_scale() -> None:
    rng = np.random.default_rng(0)
    chosen, rejected = (np.maximum(rng.normal(shift, 1, size=(200, 12)), 0) for shift in (0.4, -0.4))
    page = compare_pairs(answers_with(chosen, rejected), threshold=0.5).to_html()
    bars = [(float(left), float(width)) for left, width in re.findall(r"left:([\d.-]+)%;width:([\d.-]+)%", page)]
    assert len(bars) == 12
    assert all(0 <= left <= left + width <= 100.01 and width > 0 for left, width in bars)


@pytest.fixture(scope="module")
def telephone() -> Any:
    if CHROMIUM is None:
        pytest.skip("pages are looked at with Chromium, which is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 375, "height": 800})
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, *EVIL])
def test_a_telephone_shows_all_of_it_and_runs_nothing(name: str | None, telephone: Page, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(evil_page(name))
    asked: list[str] = []
    telephone.on("request", lambda request: asked.append(request.url))
    telephone.goto((tmp_path / "page.html").as_uri())
    assert telephone.evaluate("document.documentElement.scrollWidth") == 375
    assert telephone.title() != "run"
    assert [url for url in asked if not url.endswith("page.html")] == []
    marks = telephone.locator("mark").all()
    assert len(marks) == len(EVIL)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 375 for mark in marks if (box := mark.bounding_box()))
