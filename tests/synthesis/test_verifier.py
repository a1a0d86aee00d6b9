"""A verifier says whether label, response, order and behaviour hold, and disagreement has a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import datasets
import pytest

from fac_datasets.generation import Completion, Request
from fac_datasets.interpretation.questions import VERDICT
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.verifier import Verifier
from tests.interpretation.scripted import Scripted, always
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, PAIRS, QUESTIONS, TEXTS
from tests.synthesis.listening import asked_of


def answering(answer: str) -> Scripted:
    return always({"reason": "so it is", "answer": answer})


def rows(seed: datasets.Dataset, column: str | None = None) -> tuple[DataKind, list[Sample]]:
    kind = recognise(seed, column=column)
    return kind, [sample for sample in map(kind.sample_of, seed) if sample is not None]


@pytest.mark.parametrize(("answer", "holds"), [("yes", True), ("probably", True), ("maybe", False), ("no", False)])
@pytest.mark.parametrize(
    ("seed", "claim"), [(LABELLED["class label"], "label"), (INSTRUCTIONS["messages"], "response")]
)
def test_what_only_may_hold_is_rejected(seed: datasets.Dataset, claim: str, answer: str, holds: bool) -> None:
    kind, samples = rows(seed)
    found = Verifier(answering(answer)).rejects(kind, samples, samples)
    assert found == [None if holds else f"{claim} does not hold"] * len(samples)


@pytest.mark.parametrize(
    ("seed", "column", "right", "claim"),
    [(PAIRS["with a prompt"], "chosen", "chosen", "order"), (QUESTIONS["texts"], None, "matching", "behaviour")],
)
def test_sides_are_shown_in_an_order_that_tells_nothing(
    seed: datasets.Dataset, column: str | None, right: str, claim: str
) -> None:
    kind, samples = rows(seed, column)
    rights = [sample.texts[right] for sample in samples]
    first_ones = []

    def judge(prompt: str, _seed: int) -> str:
        first_ones.append(json.loads(prompt.partition("Answer 1, a JSON string: ")[2].partition("\n")[0]))
        return json.dumps({"reason": "", "answer": "yes" if first_ones[-1] in rights else "no"})

    assert Verifier(Scripted(judge)).rejects(kind, samples, samples) == [None] * len(samples)
    shown_first = [text in first_ones for text in rights]
    assert {*shown_first} == {True, False}
    always_first = Verifier(answering("yes")).rejects(kind, samples, samples)
    assert always_first == [None if first else f"{claim} does not hold" for first in shown_first]


def test_a_verifier_that_gives_no_answer_is_no_consent() -> None:
    kind, samples = rows(LABELLED["strings"])
    found = Verifier(always("I think so.")).rejects(kind, samples[:1], samples)
    assert found == ["label not checked: unparsable"]


def test_a_verifier_that_reasons_first_is_given_the_tokens_that_it_needs() -> None:
    class Reasons(Scripted):
        def complete(
            self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
        ) -> Iterator[tuple[int, Completion]]:
            for place, completion in super().complete(requests, max_new_tokens=max_new_tokens, temperature=temperature):
                cut = Completion("<think>They", max_new_tokens, False)
                yield place, completion if max_new_tokens >= 2000 else cut

    kind, samples = rows(LABELLED["strings"])
    judge = Reasons(lambda _prompt, _seed: '<think>They do.</think>{"answer": "yes"}')
    assert Verifier(judge).rejects(kind, samples[:1], samples) == ["label not checked: unparsable"]
    assert Verifier(judge, answer_tokens=2000).rejects(kind, samples[:1], samples) == [None]


def test_a_text_claims_nothing_and_nobody_is_asked() -> None:
    kind, samples = rows(TEXTS["text"])
    generator = answering("no")
    assert Verifier(generator).rejects(kind, samples, []) == [None] * len(samples)
    assert generator.asked == 0


def test_labels_are_told_by_their_names_and_with_rows_of_the_seed() -> None:
    kind, samples = rows(LABELLED["class label"])
    asked: list[str] = []

    def listening(prompt: str, _seed: int) -> str:
        asked.append(prompt)
        return json.dumps({"reason": "", "answer": "yes"})

    Verifier(Scripted(listening)).rejects(kind, samples[1:2], samples)
    assert 'Is the class of this text "vivid", of the classes ["dull", "vivid"]?' in asked[0]
    assert '{"text": "A pear is one.", "class": "dull"}' in asked[0]


def test_an_answer_is_asked_for_by_its_schema() -> None:
    kind, samples = rows(LABELLED["class label"])
    generator = answering("yes")
    with asked_of(generator) as asked:
        Verifier(generator).rejects(kind, samples, samples)
    assert {json.dumps(request.schema) for request in asked} == {json.dumps(VERDICT)}
