"""Columns that say again what others hold are made as rows of the seed show."""

from __future__ import annotations

import pytest

from fac_datasets.errors import DatasetError
from fac_datasets.synthesis.derived import Derived

ROWS = [
    {"prompt": "Name a fruit.", "response": "A pear."},
    {"prompt": "Which is red?", "response": "A cherry."},
    {"prompt": "Which is red?\n\nOf these: plum, fig.", "response": "None."},
]
CELLS = [
    "### Ask:\nName a fruit.\n### Say:\nA pear.",
    "### Ask:\nWhich is red?\n### Say:\nA cherry.",
    "### Ask:\nWhich is red?\n### Of:\nOf these: plum, fig.\n### Say:\nNone.",
]
NEW = {"prompt": "Which is blue?", "response": "A plum."}


def test_a_template_is_what_rows_agree_on() -> None:
    assert Derived.of(ROWS, CELLS).cell(NEW) == "### Ask:\nWhich is blue?\n### Say:\nA plum."


def test_a_column_may_repeat_one_part() -> None:
    assert Derived.of(ROWS[:1], ["Name a fruit."]).cell(NEW) == "Which is blue?"


def test_words_of_a_single_row_are_no_template() -> None:
    assert Derived.of(ROWS[2:], CELLS[2:]).templates == {}
    assert Derived.of([{}, ROWS[0]], [CELLS[0], None]).templates == {}


def test_parts_that_no_row_shows_have_no_cell() -> None:
    with pytest.raises(DatasetError, match="no row with the parts"):
        Derived.of(ROWS, CELLS).cell({**NEW, "prompt_2": "And red?", "response_2": "A cherry."})
