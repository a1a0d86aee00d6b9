"""What an answer says is read whatever stands around it, and what says nothing is not guessed at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import (
    LLMExplainer,
    TopTokensExplainer,
    explain,
    judge_relevance,
    score_explanations,
    verify_explanations,
)
from fac_datasets.errors import GenerationError, OptionError
from fac_datasets.generation import Completion
from fac_datasets.interpretation.explainers.llm import read_name
from fac_datasets.interpretation.questions import UNPARSABLE, read_answer, read_verdict
from tests.interpretation.scripted import COFFEE, RAIN, Scripted, always, span, table_of


@pytest.mark.parametrize(
    "answer",
    [
        '{"reason": "r", "answer": "Probably"}',
        '{"reason": "r", "answer": "probably", "confidence": 0.8}',
        '{"reason": "r", "answer": " Probably. "}',
        '```json\n{"reason": "r", "answer": "probably"}\n```',
        'Sure! Here is my judgement:\n```json\n{"reason": "r", "answer": "probably"}\n```',
        '```\n{"reason": "r", "answer": "probably"}\n```\nLet me know if {this} helps.',
        'The name fits most of them. {"reason": "r", "answer": "probably"}',
        '{"reason": "r", "answer": "probably"} I hope this helps!',
        '[{"reason": "r", "answer": "probably"}]',
        '{"reason": "r", "answer": "probably"}<|im_end|>',
        '<think>It says {"answer": "no"}, but...</think>\n{"answer": "probably", "reason": "r"}',
        'It says {"answer": "no"}, but...</think>{"answer": "probably", "reason": "r"}',
        '{"reason": "r", "answer": "probably"}\n{"reason": "r", "answer": "probably"}',
    ],
)
def test_an_answer_is_one_object_whatever_stands_around_it(answer: str) -> None:
    assert read_answer(answer, read_verdict) == ("probably", "r")


def test_an_answer_may_speak_of_the_end_of_reasoning() -> None:
    assert read_answer('{"reason": "they hold </think>", "answer": "yes"}', read_verdict) == (
        "yes",
        "they hold </think>",
    )


@pytest.mark.parametrize(
    "answer", ['{"answer": "yes"}', '{"reason": 1, "answer": "yes"}', '{"reason": null, "answer": "yes"}']
)
def test_a_verdict_needs_no_reason(answer: str) -> None:
    assert read_answer(answer, read_verdict) == ("yes", None)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ('{"name": "drinks"}', "drinks"),
        ('{"name": "drinks", "reason": "r", "confidence": "high"}', "drinks"),
        ('</think>{"name": "drinks"}', "drinks"),
        ('{"name": null}', None),
    ],
)
def test_a_name_needs_no_reason(answer: str, name: str | None) -> None:
    assert read_answer(answer, read_name).name == name


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "yes",
        "[]",
        '"yes"',
        '{"reason": "r"}',
        '{"reason": "r", "answer": "certainly"}',
        '{"reason": "r", "answer": true}',
        '{"reason": "r", "answer": "yes"} {"reason": "r", "answer": "no"}',
        '{"reason": "r", "answer": "ye',
        '<think>It says {"reason": "r", "answer": "yes"}.</think> Well.',
        '{"reason": "half of \\ud83d", "answer": "yes"}',
        '{"answer": {"answer": "yes"}}',
        '{"a": ' * 3000,
    ],
)
def test_anything_else_is_no_answer(answer: str) -> None:
    with pytest.raises(ValueError):
        read_answer(answer, read_verdict)


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "n", "reason": "r", "confidence": 1}',
        '{"name": "n"}',
        'Here it is: {"name": "n", "reason": "r"}',
        '```json\n{"name": "n", "reason": "r"}\n```\nLet me know.',
        '</think>{"name": "n", "reason": "r"}',
    ],
)
def test_no_call_is_wasted_on_an_answer_that_says_enough(answer: str) -> None:
    generator = always(answer)
    assert explain(table_of(COFFEE), LLMExplainer(generator))["explanation"] == ["n"]
    assert generator.asked == 1


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help with that.", "<think>Bad.</think>I cannot assist with this."]
)
def test_a_model_that_declines_is_not_asked_again(text: str) -> None:
    generator = always(text)
    table = explain(table_of(COFFEE), LLMExplainer(generator))
    assert (table["explanation"], table["fits"]) == ([None], ["refused"])
    assert generator.asked == 1


def cups(n: int) -> list[list[dict[str, Any]]]:
    """Spans of features that differ."""
    return [[span(f"cup {i} of coffee", "coffee")] for i in range(n)]


class Cut(Scripted):
    """A generator whose answers never come to an end."""

    def complete(self, *arguments: Any, **options: Any) -> Iterator[tuple[int, Completion]]:
        for place, completion in super().complete(*arguments, **options):
            yield place, completion._replace(finished=False)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("", "empty"), ("Let me think", "cut off at the token limit"), ("<think>Let me", "reasoning only")],
)
def test_a_judge_that_never_comes_to_an_answer_is_stopped_early(text: str, outcome: str) -> None:
    generator = Cut(lambda _prompt, _seed: text)
    table = table_of(*cups(30))
    with pytest.raises(OptionError, match=rf"none of the first 8 .* answer_tokens=64: 8 {outcome}; .*--answer-tokens"):
        explain(table, LLMExplainer(generator, answer_tokens=64))
    assert generator.asked == 8


def test_a_few_answers_that_were_cut_off_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    generator = Cut(lambda prompt, _seed: '{"name": "n"}' if "the **rain" in prompt else "Let me think")
    table = table_of(*cups(7), RAIN)
    assert list(explain(table, LLMExplainer(generator))["fits"]) == [UNPARSABLE] * 7 + [None]
    (record,) = caplog.records
    assert "21 cut off at the token limit; a model that reasons" in record.getMessage()


def test_a_judge_is_given_the_schema_of_its_answer() -> None:
    seen: list[Any] = []

    class Watched(Scripted):
        def complete(self, requests: Any, **options: Any) -> Iterator[tuple[int, Completion]]:
            seen.extend(request.schema["required"] for request in requests)
            return super().complete(requests, **options)

    generator = Watched(lambda _prompt, _seed: '{"name": "n", "answer": "yes", "active": [1]}')
    table = verify_explanations(explain(table_of(COFFEE), LLMExplainer(generator)), generator)
    judge_relevance(score_explanations(table, generator=generator), "toxicity", generator)
    assert [required for required, _ in groupby(seen)] == [
        ["reason", "name"],
        ["reason", "answer"],
        ["active"],
        ["reason", "answer"],
    ]


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
