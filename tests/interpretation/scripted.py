"""A generator that answers by script, and tables to ask about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import datasets

from fac_datasets.generation import Completion, Request, TextGenerator

Answer = Callable[[str, int], str]


class Scripted(TextGenerator):
    """Answers by a function of the prompt and the seed; counts what it is asked."""

    name = "scripted"

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, 0

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        for place, request in enumerate(requests):
            self.asked += 1
            text = self.answer("\n".join(content for _, content in request.messages), request.seed)
            yield place, Completion(text, 1, True)


def always(answer: Any) -> Scripted:
    return Scripted(lambda _prompt, _seed: answer if isinstance(answer, str) else json.dumps(answer))


def span(text: str, peak: str, activation: float = 1.0, row: int = 0) -> dict[str, Any]:
    start = text.rindex(peak)
    return {"text": text, "start": start, "end": start + len(peak), "activation": activation, "row": row}


def table_of(*features: list[dict[str, Any]], held_out: int = 12, silent: int = 12) -> datasets.Dataset:
    """A feature table with these spans; what is held out tells of the same words, what is silent of others."""
    rows = []
    for feature, spans in enumerate(features):
        word = spans[0]["text"][spans[0]["start"] : spans[0]["end"]] if spans else ""
        rows.append(
            {
                "feature_id": feature,
                "feature_space": f"m@{1:016x}/layer1/raw/s@{2:016x}/sae/max/>0/cut512",
                "spans": spans,
                "held_out_spans": [span(f"line {i} about {word}", word, 2.0 - i / 10) for i in range(held_out)],
                "silent_spans": [span(f"line {i} about stones", "stones", 0.0) for i in range(silent)],
            }
        )
    return datasets.Dataset.from_list(rows)


COFFEE = [span("a cup of coffee", "coffee", 3), span("a pot of tea", "tea", 2), span("cold coffee", "coffee", 1)]


RAIN = [span("the rain", "rain", 3), span("the snow", "snow", 2)]
