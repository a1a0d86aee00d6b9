"""Cells are written in the manner of those that are there, where their type leaves a choice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from datasets import Json, List, Value

from fac_datasets.errors import DatasetError
from fac_datasets.rows.manner import Manner

ASKED = {"role": "user", "content": "Hi."}
SAID = {"role": "assistant", "content": "Hello."}
TEXT = Value("string")
KEPT = [{"from": "user", "value": "Who?"}, {"from": "chatgpt", "value": "I."}]


def test_blanks_that_all_texts_have_are_kept() -> None:
    assert Manner.of("a", TEXT, [" (A)", " (B)", None, ""]).text("(B)") == " (B)"
    assert Manner.of("a", TEXT, ["one\n", "\ntwo\n\n"]).text("three") == "three\n"
    assert Manner.of("a", TEXT, [" one", "two"]).text("three") == "three"
    assert Manner.of("a", TEXT, []).text(" three") == " three"


@pytest.mark.parametrize(
    ("feature", "cell", "written"),
    [
        (TEXT, "\n\nHuman: Who?\n\nAssistant: I.", "\n\nHuman: Hi.\n\nAssistant: Hello."),
        (
            TEXT,
            json.dumps(KEPT),
            json.dumps([{"from": "user", "value": "Hi."}, {"from": "chatgpt", "value": "Hello."}]),
        ),
        (List(Json()), KEPT, [{"from": "user", "value": "Hi."}, {"from": "chatgpt", "value": "Hello."}]),
        (
            List({"value": TEXT, "from": TEXT, "weight": Value("int64")}),
            [{**message, "weight": 1} for message in KEPT],
            [
                {"value": "Hi.", "from": "user", "weight": None},
                {"value": "Hello.", "from": "chatgpt", "weight": None},
            ],
        ),
        (
            {"role": List(TEXT), "content": List(TEXT)},
            {"role": ["human", "model"], "content": ["Who?", "I."]},
            {"role": ["human", "model"], "content": ["Hi.", "Hello."]},
        ),
    ],
)
def test_messages_keep_form_keys_and_names_of_roles(feature: Any, cell: Any, written: Any) -> None:
    assert Manner.of("chat", feature, [None, cell]).chat([ASKED, SAID]) == written


def test_one_message_in_a_column_of_plain_texts_is_its_text() -> None:
    assert Manner.of("prompt", TEXT, [" Who?"]).chat([ASKED]) == " Hi."


def test_a_system_prompt_is_the_developers_where_those_before_are() -> None:
    feature = List({"role": TEXT, "content": TEXT})
    kept = [[{"role": "developer", "content": "Be brief."}, ASKED]]
    (first, _) = Manner.of("messages", feature, kept).chat([{"role": "system", "content": "Be kind."}, ASKED])
    assert first == {"role": "developer", "content": "Be kind."}


def test_a_text_that_spells_a_turn_has_no_place_in_a_transcript() -> None:
    manner = Manner.of("chosen", TEXT, ["\n\nHuman: Who?\n\nAssistant: I."])
    with pytest.raises(DatasetError, match="a text cannot spell a turn"):
        manner.chat([{"role": "user", "content": "Hi.\n\nHuman: Ho."}])
