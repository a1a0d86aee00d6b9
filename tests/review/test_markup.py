"""Text from data is shown as text."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.review.markup import shown, shown_with_peak


class _Tags(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str, Any]] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, attrs))


@given(st.text())
def test_markup_of_data_never_survives(text: str) -> None:
    content = shown(text)
    assert {tag for tag, _ in _Tags(content).found} <= {"br"}
    # What is left of ASCII punctuation is our own.
    own = re.sub(r"&#\d+;|&nbsp;|&emsp;|<br>", "", content)
    assert re.fullmatch(r"[^!-/:-@\[-`{-~]*", own)


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.data())
def test_the_text_that_is_shown_is_the_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    content = shown_with_peak(text, start, end)
    marked = re.search("<mark><b>(.*)</b></mark>", content)
    assert marked and html.unescape(marked[1]) == text[start:end]
    assert html.unescape(re.sub("</?(mark|b)>", "", content)) == text


@pytest.mark.parametrize("text", ["\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f469"])
def test_what_scripts_and_emoji_are_joined_with_stays(text: str) -> None:
    assert shown(text) == text


def test_characters_that_are_not_seen_are_replaced() -> None:
    assert shown("a\x00b\u202ec\x1b[0m") == "a\ufffdb\ufffdc\ufffd&#91;0m"


def test_spaces_and_lines_are_seen() -> None:
    assert shown("  a  b\r\n\tc") == "&nbsp;&nbsp;a &nbsp;b<br>&emsp;c"
