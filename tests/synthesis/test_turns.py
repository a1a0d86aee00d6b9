"""Chats become parts, and parts messages."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.turns import in_turn, messages_of, parts_of

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Ho."},
    {"role": "assistant", "content": "No."},
]


def test_a_chat_becomes_numbered_parts_and_back() -> None:
    found = parts_of(CHAT)
    assert found == ({"prompt": "Hi.", "response": "Yes?", "prompt_2": "Ho.", "response_2": "No."}, "Be brief.")
    assert messages_of(Sample(found[0], system=found[1])) == CHAT


@pytest.mark.parametrize("wrong", [CHAT[2:], [*CHAT[:2], CHAT[1]], [CHAT[1], {"role": "tool", "content": "4"}]])
def test_a_chat_in_which_roles_do_not_alternate_has_no_parts(wrong: list[dict[str, str]]) -> None:
    assert parts_of(wrong) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["prompt"], "no response"),
        (["response"], "no prompt"),
        (["prompt", "prompt", "response"], "parts in another order than asked for"),
        (["response", "prompt"], "parts in another order than asked for"),
    ],
)
def test_sections_have_to_come_in_turn(names: list[str], reason: str) -> None:
    assert in_turn([(name, "x") for name in names], ["response"]) == Rejected(reason)
