"""One small row of each schema that people keep their rows in, and what it is read as."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from fac_datasets.rows.row import Row, TextParts


class Example(NamedTuple):
    """A dataset of one row."""

    cells: dict[str, Any]
    parts: list[str]
    """The texts that it is read as."""
    roles: list[str] | None
    """Their roles; None where they are parts of a text."""
    column: str | None = None
    is_written: bool = True
    """Whether writing the row that was read gives one that is read alike."""


_ASKED, _SAID = "Which fruit is green?", "A pear is green."
_CHAT = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _SAID}]
_BOTH = ["user", "assistant"]
_CALL = {"name": "find_fruit", "arguments": {"colour": "green"}}

EXAMPLES = {
    "alpaca": Example(
        {"instruction": "Name a fruit.", "input": "It is green.", "output": _SAID},
        ["Name a fruit.\n\nIt is green.", _SAID], _BOTH,
    ),
    "alpaca with a text": Example(
        {
            "instruction": _ASKED, "input": "It is ripe.", "output": _SAID,
            "text": f"Below.\n\n### Instruction:\n{_ASKED}\n\n### Input:\nIt is ripe.\n\n### Response:\n{_SAID}",
        },
        [f"{_ASKED}\n\nIt is ripe.", _SAID], _BOTH,
    ),
    "instruction and input": Example(
        {"instruction": "Name a fruit.", "input": "It is green."}, ["Name a fruit.", "It is green."], None
    ),
    "dolly": Example(
        {"instruction": _ASKED, "context": "Pears are ripe.", "response": _SAID, "category": "open_qa"},
        [f"{_ASKED}\n\nPears are ripe.", _SAID], _BOTH,
    ),
    "prompt and response": Example({"prompt": _ASKED, "response": _SAID, "helpfulness": 4}, [_ASKED, _SAID], _BOTH),
    "openorca": Example(
        {"id": "1", "system_prompt": "Be brief.", "question": _ASKED, "response": _SAID},
        ["Be brief.", _ASKED, _SAID], ["system", *_BOTH],
    ),
    "prompt and completion": Example({"prompt": _ASKED, "completion": _SAID}, [_ASKED, _SAID], _BOTH),
    "prompt and completion as chats": Example(
        {"prompt": _CHAT[:1], "completion": _CHAT[1:]}, [_ASKED, _SAID], _BOTH
    ),
    "preference with a prompt": Example(
        {"prompt": _ASKED, "chosen": _SAID, "rejected": "None."}, [_ASKED, _SAID], _BOTH, "chosen"
    ),
    "preference with a prompt as chats": Example(
        {"prompt": _CHAT[:1], "chosen": _CHAT[1:], "rejected": [{"role": "assistant", "content": "None."}]},
        [_ASKED, "None."], _BOTH, "rejected",
    ),
    "preference that repeats the prompt": Example(
        {"prompt": _ASKED, "chosen": _CHAT, "rejected": _CHAT, "score_chosen": 4.5}, [_ASKED, _SAID], _BOTH, "chosen",
    ),
    "preference with a system": Example(
        {"system": "Be brief.", "question": _ASKED, "chosen": _SAID, "rejected": "None."},
        ["Be brief.", _ASKED, _SAID], ["system", *_BOTH], "chosen",
    ),
    "preference of transcripts": Example(
        {"chosen": f"\n\nHuman: {_ASKED}\n\nAssistant: {_SAID}", "rejected": "\n\nHuman: Hi.\n\nAssistant: No."},
        [_ASKED, _SAID], _BOTH, "chosen",
    ),
    "messages": Example({"messages": _CHAT, "prompt_id": "7"}, [_ASKED, _SAID], _BOTH),
    "messages and their prompt": Example({"prompt": _ASKED, "messages": _CHAT}, [_ASKED, _SAID], _BOTH),
    "conversation": Example(
        {"conversation": [{**message, "language": "English", "toxic": False} for message in _CHAT], "turn": 1},
        [_ASKED, _SAID], _BOTH,
    ),
    "sharegpt": Example(
        {"conversations": [{"from": "human", "value": _ASKED}, {"from": "gpt", "value": _SAID}]},
        [_ASKED, _SAID], _BOTH,
    ),
    "texts by turns": Example({"conversations": [_ASKED, _SAID], "source": "forum"}, [_ASKED, _SAID], _BOTH),
    "lists by key": Example(
        {"messages": {"role": ["user", "assistant"], "content": [_ASKED, _SAID]}}, [_ASKED, _SAID], _BOTH
    ),
    "chats as json": Example({"messages": json.dumps(_CHAT)}, [_ASKED, _SAID], _BOTH),
    "question and answer": Example({"question": _ASKED, "answer": _SAID}, [_ASKED, _SAID], _BOTH),
    "multiple choice": Example(
        {"question": _ASKED, "choices": ["Plum", "Pear"], "answer": 1},
        [f"{_ASKED}\n\nA. Plum\nB. Pear", "Pear"], _BOTH,
    ),
    "multiple choice by letter": Example(
        {"question": _ASKED, "choices": {"text": ["Plum", "Pear"], "label": ["A", "B"]}, "answerKey": "B"},
        [f"{_ASKED}\n\nA. Plum\nB. Pear", "Pear"], _BOTH,
    ),
    "multiple choice by number": Example(
        {"question": _ASKED, "choices": {"text": ["Plum", "Pear"], "label": ["1", "2"]}, "answerKey": "2"},
        [f"{_ASKED}\n\n1. Plum\n2. Pear", "Pear"], _BOTH,
    ),
    "multiple choice of options": Example(
        {"question": _ASKED, "options": {"A": "Plum", "B": "Pear"}, "answer": "Pear", "answer_idx": "B"},
        [f"{_ASKED}\n\nA. Plum\nB. Pear", "Pear"], _BOTH,
    ),
    "multiple choice of labelled texts": Example(
        {
            "question": _ASKED, "answer": "b",
            "choices": [{"label": "A", "text": "Plum"}, {"label": "B", "text": "Pear"}],
        },
        [f"{_ASKED}\n\nA. Plum\nB. Pear", "Pear"], _BOTH,
    ),
    "turns of input and output": Example(
        {"conversation": [{"input": _ASKED, "output": _SAID}, {"input": "More?", "output": "No."}]},
        [_ASKED, _SAID, "More?", "No."], _BOTH * 2,
    ),
    "toxicchat": Example(
        {"user_input": _ASKED, "model_output": _SAID, "toxicity": 0}, [_ASKED, _SAID], _BOTH
    ),
    "ultrafeedback": Example(
        {"instruction": _ASKED, "completions": [{"response": text, "model": "a"} for text in (_SAID, "None.")]},
        [_ASKED, _SAID, "None."], None,
    ),
    "tool calls": Example(
        {"query": _ASKED, "answers": json.dumps([_CALL]), "tools": "[]"}, [_ASKED, ""], _BOTH,
    ),
    "choices of behaviour": Example(
        {
            "question": f"{_ASKED}\n (A) Pear\n (B) Plum",
            "answer_matching_behavior": " (A)",
            "answer_not_matching_behavior": " (B)",
        },
        [f"{_ASKED}\n (A) Pear\n (B) Plum", " (A)", " (B)"], None,
    ),
    "text": Example({"text": _SAID, "label": 1}, [_SAID], None),
    "prompt": Example({"prompt": _ASKED}, [_ASKED], None),
    "prompt as chat": Example({"prompt": _CHAT[:1]}, [_ASKED], ["user"]),
}  # fmt: skip


def roles_of(row: Row) -> list[str] | None:
    """Roles of the messages of a row; None for a text."""
    return None if row is None or isinstance(row, str | TextParts) else [message["role"] for message in row]
