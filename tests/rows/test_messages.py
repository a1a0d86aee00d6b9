"""Messages of every convention become `role` and a text, and what is not read is counted."""

from __future__ import annotations

import json

import pytest

from fac_datasets.errors import OptionError, RowError
from fac_datasets.rows.messages import Messages, transcript

CALL = {"function": {"name": "find", "arguments": {"colour": "green"}}}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"), ("User", "user"), ("prompter", "user"),
        ("gpt", "assistant"), ("chatgpt", "assistant"), ("function_call", "assistant"),
        ("observation", "tool"), ("ipython", "tool"), ("function", "tool"),
        ("system", "system"), ("developer", "developer"), ("critic", "critic"),
    ],
)  # fmt: skip
def test_roles_have_one_name(name: str, role: str) -> None:
    for message in ({"role": name, "content": "Hi."}, {"from": name, "value": "Hi."}):
        assert Messages().message(message, 0) == {"role": role, "content": "Hi."}


def test_keys_of_the_other_convention_may_stand_empty_beside() -> None:
    union = {"role": "user", "content": "Hi.", "from": None, "value": None}
    assert Messages().message(union, 0) == {"role": "user", "content": "Hi."}
    assert Messages().message({"role": None, "content": None, "from": "gpt", "value": "Hi."}, 0)["role"] == "assistant"


def test_texts_among_parts_are_joined_and_others_counted() -> None:
    messages = Messages()
    content = [{"type": "text", "text": "See: "}, {"type": "image_url", "image_url": {"url": "x"}}, "a pear"]
    assert messages.message({"role": "user", "content": content}, 0)["content"] == "See: a pear"
    assert messages.unread == {"image_url": 1}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Pear.", "reasoning_content": "Green is asked."},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Green is asked."}, {"text": "Pear."}]},
        {"role": "assistant", "content": [{"type": "reasoning", "text": "Green is asked."}, "Pear."]},
    ],
)
def test_reasoning_is_counted_and_read_where_it_is_asked_for(message: dict[str, object]) -> None:
    without, with_it = Messages(), Messages(["reasoning"])
    assert without.message(message, 0)["content"] == "Pear."
    assert without.unread == {"reasoning": 1}
    read = with_it.message(message, 0)
    assert read == {"role": "assistant", "content": "Green is asked.\n\nPear."}
    assert not with_it.unread


def test_calls_of_tools_are_counted_and_read_where_they_are_asked_for() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    without, with_them = Messages(), Messages("tool_calls")
    kept = without.message(message, 0)
    assert (kept["content"], kept["tool_calls"], without.unread) == ("", [CALL], {"tool_calls": 1})
    assert json.loads(with_them.message(message, 0)["content"]) == [CALL]


def test_a_chat_of_unread_parts_alone_is_an_error_that_says_how_to_read_them() -> None:
    chat = [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
    with pytest.raises(RowError, match=r"row 3 .* only tool_calls, .*parts=\['tool_calls'\]"):
        Messages().chat(chat, 3)
    with pytest.raises(RowError, match="only image, which are not read; leave it out"):
        Messages().chat([{"role": "user", "content": [{"type": "image"}]}], 0)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(OptionError, match=r"\['images'\] are none of"):
        Messages(["images"])


def test_a_transcript_needs_a_human() -> None:
    assert transcript("Assistant: I am one.") is None
    assert transcript("They said: Human: no") is None
    turns = transcript("Human: One\n\ntwo.\n\nAssistant: Three.\n\nHuman: Four.")
    assert turns is not None
    assert [turn["content"] for turn in turns] == ["One\n\ntwo.", "Three.", "Four."]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"role": "user"}', '[{"from": "Rome", "to": "Bonn"}]', "[1, 2]", "[]"]
)
def test_a_text_that_looks_like_json_stays_a_text(text: str) -> None:
    assert Messages().chat(text, 0) == [{"role": "user", "content": text}]


def test_a_number_in_place_of_a_text_stands_for_its_digits() -> None:
    assert Messages().message({"role": "user", "content": 42}, 0)["content"] == "42"


@pytest.mark.parametrize("given", [7, [7], [{"text": "no role"}], [{"role": "user", "content": [[1]]}]])
def test_what_is_no_chat_is_named(given: object) -> None:
    with pytest.raises(RowError, match="row 2"):
        Messages().chat(given, 2)
