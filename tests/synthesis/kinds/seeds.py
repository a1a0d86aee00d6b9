"""Small seeds of each schema that people train on, for the tests of kinds."""

from __future__ import annotations

from itertools import starmap
from typing import Any

import datasets
from datasets import ClassLabel, Features, Json, List, Value

FRUIT = [
    ("Name a fruit.", "A pear is one."),
    ("Which fruit is red?", "A cherry is red."),
    ("Where do figs grow?", "Figs grow where it is warm."),
]

MESSAGE = {"role": Value("string"), "content": Value("string")}


def chat(asked: str, said: str, system: str | None = None) -> list[dict[str, str]]:
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def of(rows: list[dict[str, Any]], **types: Any) -> datasets.Dataset:
    """Rows as a dataset; the types of some columns are given."""
    if not types:
        return datasets.Dataset.from_list(rows)
    inferred = {name: Value("string") for name in rows[0]}
    features = Features({**inferred, **types})
    return datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


TEXTS = {
    "text": of([{"text": said, "topic": "fruit"} for _, said in FRUIT]),
    "prompt as chat": of([{"prompt": chat(asked, said)[:1]} for asked, said in FRUIT]),
    "instruction and input": of([{"instruction": asked, "input": said} for asked, said in FRUIT]),
}

LABELLED = {
    "class label": of(
        [{"label": i % 2, "text": said, "id": str(i)} for i, (_, said) in enumerate(FRUIT)],
        label=ClassLabel(names=["dull", "vivid"]),
    ),
    "0 and 1": of([{"text": said, "label": i % 2} for i, (_, said) in enumerate(FRUIT)], label=Value("int64")),
    "small integers": of([{"text": said, "label": i} for i, (_, said) in enumerate(FRUIT)], label=Value("int8")),
    "boolean": of([{"prompt": said, "label": i > 0} for i, (_, said) in enumerate(FRUIT)], label=Value("bool")),
    "strings": of([{"text": said, "label": name} for (_, said), name in zip(FRUIT, "abc", strict=True)]),
}

INSTRUCTIONS = {
    "alpaca": of([{"instruction": asked, "input": "", "output": said} for asked, said in FRUIT]),
    "alpaca with its text": of(
        [
            {"instruction": asked, "input": "", "output": said, "text": f"### Ask:\n{asked}\n\n### Say:\n{said}"}
            for asked, said in FRUIT
        ]
    ),
    "prompt and response": of([{"id": asked[:1], "prompt": asked, "response": said} for asked, said in FRUIT]),
    "prompt and completion": of([{"prompt": asked, "completion": f" {said}"} for asked, said in FRUIT]),
    "prompt and completion as chats": of(
        [{"prompt": chat(asked, said)[:1], "completion": chat(asked, said)[1:]} for asked, said in FRUIT]
    ),
    "question and answer": of([{"question": asked, "answer": said, "score": 0.5} for asked, said in FRUIT],
                              score=Value("float64")),
    "openorca": of(
        [{"id": "1", "system_prompt": "Be brief.", "question": asked, "response": said} for asked, said in FRUIT]
    ),
    "messages": of([{"messages": chat(asked, said), "source": "me"} for asked, said in FRUIT]),
    "messages beside their prompt": of([{"prompt": asked, "messages": chat(asked, said)} for asked, said in FRUIT]),
    "messages with a system prompt": of([{"messages": chat(asked, said, "Be brief.")} for asked, said in FRUIT]),
    "messages of several turns": of([{"messages": [*chat(*FRUIT[0]), *chat(*turn)]} for turn in FRUIT[1:]]),
    "messages with other keys": of(
        [{"messages": [{"content": m["content"], "role": m["role"], "weight": 1} for m in chat(*turn)]}
         for turn in FRUIT]
    ),
    "messages of parts": of(
        [
            {"messages": [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages]}
            for messages in starmap(chat, FRUIT)
        ]
    ),
    "messages as json": of([{"messages": chat(*turn)} for turn in FRUIT], messages=List(Json())),
    "sharegpt": of(
        [{"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]}
         for asked, said in FRUIT]
    ),
    "sharegpt of other roles": of(
        [
            {"conversations": [{"value": asked, "from": "user"}, {"value": said, "from": "chatgpt"}]}
            for asked, said in FRUIT
        ]
    ),
    "multiple choice": of(
        [{"question": "Which is red?", "choices": ["Fig", "Cherry"], "answer": number} for number in (1, 1)],
        choices=List(Value("string")), answer=Value("int64"),
    ),
}  # fmt: skip

PAIRS = {
    "with a prompt": of([{"prompt": asked, "chosen": said, "rejected": "No."} for asked, said in FRUIT]),
    "with a prompt of a chat": of(
        [
            {"prompt": chat(asked, said)[:1], "chosen": chat(asked, said)[1:], "rejected": chat(asked, "No.")[1:]}
            for asked, said in FRUIT
        ]
    ),
    "whole chats": of(
        [{"chosen": chat(asked, said), "rejected": chat(asked, "No."), "margin": 0.0} for asked, said in FRUIT],
        chosen=List(MESSAGE), rejected=List(MESSAGE), margin=Value("float32"),
    ),
    "whole chats beside their prompt": of(
        [{"prompt": asked, "chosen": chat(asked, said), "rejected": chat(asked, "No.")} for asked, said in FRUIT],
        chosen=List(MESSAGE), rejected=List(MESSAGE),
    ),
    "transcripts": of(
        [
            {side: f"\n\nHuman: Hi.\n\nAssistant: Yes?\n\nHuman: {asked}\n\nAssistant: {text}"
             for side, text in (("chosen", said), ("rejected", "No."))}
            for asked, said in FRUIT
        ]
    ),
    "transcripts behind their prompt": of(
        [
            {"prompt": f"\n\nHuman: {asked}\n\nAssistant:", "chosen": f" {said}", "rejected": " No."}
            for asked, said in FRUIT
        ]
    ),
    "texts alone": of([{"chosen": said, "rejected": "It is so."} for _, said in FRUIT]),
    "with a system prompt": of(
        [{"system": "Be brief.", "question": asked, "chosen": said, "rejected": "No."} for asked, said in FRUIT]
    ),
}  # fmt: skip

QUESTIONS = {
    "letters": of(
        [
            {
                "question": f"{asked}\n\nChoices:\n (A) {said}\n (B) Nothing.",
                "answer_matching_behavior": " (A)",
                "answer_not_matching_behavior": " (B)",
            }
            for asked, said in FRUIT
        ]
    ),
    "texts": of(
        [
            {"question": asked, "answer_matching_behavior": said, "answer_not_matching_behavior": "Nothing."}
            for asked, said in FRUIT
        ]
    ),
}

ALL = {
    f"{kind}: {name}": (kind, seed)
    for kind, seeds in {
        "text": TEXTS,
        "labelled-text": LABELLED,
        "instruction": INSTRUCTIONS,
        "preference": PAIRS,
        "ab-question": QUESTIONS,
    }.items()
    for name, seed in seeds.items()
}
"""Kind and seed by name."""
