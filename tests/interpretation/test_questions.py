"""A generator's answers are read strictly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import (
    LLMExplainer,
    TopTokensExplainer,
    explain,
    judge_relevance,
)
from fac_datasets.errors import GenerationError
from fac_datasets.generation import Completion
from fac_datasets.interpretation.questions import UNPARSABLE, json_object, read_verdict
from tests.interpretation.scripted import COFFEE, RAIN, Scripted, always, table_of


@pytest.mark.parametrize(
    "answer",
    [
        '{"reason": "r", "answer": "Probably"}',
        '```json\n{"reason": "r", "answer": "probably"}\n```',
        '<think>It says {"answer": "no"}, but...</think>\n{"answer": "probably", "reason": "r"}',
    ],
)
def test_an_answer_is_one_object_in_a_fence_or_behind_reasoning(answer: str) -> None:
    assert read_verdict(json_object(answer)) == ("probably", "r")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "yes",
        "[]",
        '{"answer": "yes"}',
        '{"reason": "r", "answer": "certainly"}',
        '{"reason": "r", "answer": true}',
        '{"reason": 1, "answer": "yes"}',
        '{"reason": "r", "answer": "yes", "note": "n"}',
        '{"reason": "r", "answer": "yes"} {"reason": "r", "answer": "no"}',
        'Sure: {"reason": "r", "answer": "yes"}',
        '{"reason": "r", "answer": "ye',
    ],
)
def test_anything_else_is_no_answer(answer: str) -> None:
    with pytest.raises(ValueError):
        read_verdict(json_object(answer))


def test_an_unparsable_answer_is_asked_for_again_and_then_recorded() -> None:
    table = explain(table_of(COFFEE, RAIN), TopTokensExplainer())
    late = Scripted(lambda _prompt, seed: '{"reason": "r", "answer": "maybe"}' if seed == 2 else "well,")
    judged = judge_relevance(table, "toxicity", late)
    assert judged["relevant"] == ["maybe", "maybe"]
    assert late.asked == 6
    never = always("well,")
    judged = judge_relevance(table, "toxicity", never)
    assert judged["relevant"] == [UNPARSABLE, UNPARSABLE]
    assert judged["relevance_reason"] == [None, None]
    assert never.asked == 6


def test_answers_that_no_journal_kept_are_said_to_be_lost(tmp_path: Path) -> None:
    class Failing(Scripted):
        batch_size = 1

        def complete(self, *arguments: Any, **options: Any) -> Iterator[tuple[int, Completion]]:
            if self.asked == 1:
                raise GenerationError("the server is down")
            return super().complete(*arguments, **options)

    generator = Failing(lambda _prompt, _seed: '{"reason": "r", "name": "n"}')
    with pytest.raises(GenerationError, match=r"down\. 1 answers are lost, .*pass journal=PATH"):
        explain(table_of(COFFEE, RAIN), LLMExplainer(generator))
    generator.asked = 0
    with pytest.raises(GenerationError, match=r"down$"):
        explain(table_of(COFFEE, RAIN), LLMExplainer(generator, tmp_path / "journal.jsonl"))
