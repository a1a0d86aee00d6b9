"""An answer that lacks parts is gone on with from what is whole of it, and counts what all requests cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import datasets
import pytest

from fac_datasets.generation import Completion, Request, TextGenerator
from fac_datasets.synthesis.asking import Asker
from fac_datasets.synthesis.drafting import answered
from fac_datasets.synthesis.drafts import Draft, Wish
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import NO_TEXT
from fac_datasets.synthesis.prompting import prompts_of
from fac_datasets.synthesis.sample_journal import SampleJournal
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.together import run_together
from tests.synthesis.cases import Case
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, PAIRS, QUESTIONS

Behind = dict[str, str]
"""What a generator writes behind each beginning; nothing behind others."""

PAIR = {
    "Prompt:\n": "Which is blue?",
    "Prompt:\nWhich is blue?\n\nBetter answer:\n": "A plum is. It",
    "Prompt:\nWhich is blue?\n\nBetter answer:\nA plum is.\n\nWorse answer:\n": "Nothing.",
}


class GoesOn(TextGenerator):
    """Goes on from the beginnings that it knows."""

    name = "goes on"

    def __init__(self, behind: Behind, *, can_prefill: bool = True) -> None:
        self._behind, self._can_prefill = behind, can_prefill
        self.begun: list[str] = []

    @property
    def can_prefill(self) -> bool:
        return self._can_prefill

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        for place, request in enumerate(requests):
            self.begun.append(request.prefix)
            more = self._behind.get(request.prefix, "")
            # What ends in the middle was cut off.
            yield place, Completion(request.prefix + more, 3, more.endswith((".", "?", ")")), prompt_tokens=10)


def asked(
    case: Case, seed: datasets.Dataset, generator: TextGenerator, column: str | None = None
) -> tuple[Draft, Sample | Rejected]:
    kind = recognise(seed, column=column)
    asker = Asker(kind, prompts_of(kind), generator, case.extractor, SampleJournal(), 16, 0.8)
    like = kind.sample_of(seed[0])
    assert like is not None

    async def written() -> tuple[Draft, Sample | Rejected]:
        draft = await answered(Wish(), asker.prompts.messages(kind, [like], like), like, asker, 0)
        return await asker.sample(draft, like, 0)

    (found,) = run_together([written()], asker.answer)
    return found


def test_each_part_that_an_answer_lacks_is_asked_for_behind_its_header(case: Case) -> None:
    generator = GoesOn(PAIR)
    draft, found = asked(case, PAIRS["with a prompt"], generator, "chosen")
    assert found == Sample({"prompt": "Which is blue?", "chosen": "A plum is.", "rejected": "Nothing."})
    assert generator.begun == list(PAIR)
    assert (len({*draft.keys}), draft.decoded_tokens, draft.prompt_tokens) == (3, 9, 30)


def test_a_generator_that_does_not_get_further_is_left(case: Case) -> None:
    begun = ["Prompt:\n", "Prompt:\nName a nut.\n\nResponse:\n"]
    generator = GoesOn({begun[0]: "Name a nut."})
    draft, found = asked(case, INSTRUCTIONS["alpaca"], generator)
    assert found == Rejected(NO_TEXT)
    assert generator.begun == begun
    assert len(draft.keys) == 2


def test_a_whole_answer_is_asked_for_once(case: Case) -> None:
    generator = GoesOn({"Prompt:\n": "Name a nut.\n\nResponse:\nA hazelnut is one."})
    draft, found = asked(case, INSTRUCTIONS["alpaca"], generator)
    assert found == Sample({"prompt": "Name a nut.", "response": "A hazelnut is one."})
    assert len(draft.keys) == 1


def test_a_question_is_gone_on_with_until_it_has_two_choices(case: Case) -> None:
    header, stem = "Question and choices:\n", "Which is blue?"
    first, second = f"{stem}\n\nChoices:\n (A)", f"{stem}\n\nChoices:\n (A) A plum.\n (B)"
    generator = GoesOn(
        {
            header: stem,
            header + first: " A plum.",
            header + second: " A fig.",
            f"{header}{second} A fig.\n\nMatching answer:\n": "(B)",
        }
    )
    _, found = asked(case, QUESTIONS["letters"], generator)
    assert isinstance(found, Sample)
    assert found.texts == {"question": f"{second} A fig.", "matching": "(B)", "not_matching": "(A)"}


@pytest.mark.parametrize(("seed", "begins"), [(LABELLED["strings"], ""), (INSTRUCTIONS["alpaca"], "Prompt:\n")])
def test_only_an_answer_of_several_parts_begins_with_a_header(case: Case, seed: datasets.Dataset, begins: str) -> None:
    generator = GoesOn({"": "A pear is green."})
    asked(case, seed, generator)
    assert generator.begun[0] == begins


def test_a_generator_that_cannot_go_on_is_asked_once(case: Case) -> None:
    generator = GoesOn({"": "Prompt:\nWhich is blue?"}, can_prefill=False)
    _, found = asked(case, PAIRS["with a prompt"], generator, "chosen")
    assert found == Rejected("no chosen")
    assert generator.begun == [""]
