"""The control reaches as many tokens or samples, in the seed's columns, and goes on from fewer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import pytest

from fac_datasets.errors import SynthesisError
from fac_datasets.generation import Completion, Outcome, Request, TextGenerator
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.sample_journal import SampleJournal
from fac_datasets.synthesis.showing import Shelf
from fac_datasets.synthesis.unguided import synthesize_unguided
from tests.synthesis.cases import Case
from tests.synthesis.listening import asked_of
from tests.tiny import TEXTS


def control(case: Case, journal: SampleJournal | None = None, **options: Any) -> datasets.Dataset:
    kind = recognise(case.seed_rows, column="text")
    defaults: dict[str, Any] = {
        "known": TEXTS,
        "extractor": case.extractor,
        "generator": case.generator,
        "max_new_tokens": 24,
        "temperature": 1.0,
        "journal": journal,
    }
    return synthesize_unguided(kind, Shelf(kind, None, case.seed_rows).seed_rows, **{**defaults, **options})


def test_it_reaches_its_tokens(case: Case) -> None:
    journal = SampleJournal()
    rows = control(case, journal, n_tokens=60)
    tokens = case.extractor.extract(rows["text"])["feature_tokens"]
    assert sum(tokens[:-1]) < 60 <= sum(tokens)
    assert journal.outcomes()["verified"] == len(rows)
    assert rows.column_names == ["text", "topic"]


def test_it_reaches_its_samples_and_goes_on_from_them(case: Case) -> None:
    journal = SampleJournal()
    first = control(case, journal, most=3)
    assert len(first) == 3
    before = len(journal.completions)
    with asked_of(case.generator) as asked:
        more = control(case, journal, most=5)
    assert more["text"][:3] == first["text"]
    assert len(asked) == len(journal.completions) - before


def test_hardly_more_is_asked_for_than_is_needed(case: Case) -> None:
    with asked_of(case.generator) as asked:
        control(case, most=1)
    assert len(asked) < 32


def test_what_a_filter_stopped_is_no_sample(case: Case) -> None:
    class Filtered(TextGenerator):
        name = "filtered"

        def complete(
            self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
        ) -> Iterator[tuple[int, Completion]]:
            for place, request in enumerate(requests):
                text = f"It rained on day {request.seed} of that year."
                yield place, Completion(text, 5, False, problem=Outcome.FILTERED)

    journal = SampleJournal()
    assert not len(control(case, journal, generator=Filtered(), most=1))
    assert {*journal.outcomes()} == {Outcome.FILTERED}


def test_a_seed_without_whole_rows_is_refused(case: Case) -> None:
    kind = recognise(case.seed_rows, column="text")
    with pytest.raises(SynthesisError, match="no row of the seed has all of"):
        synthesize_unguided(kind, [], known=[], most=1, extractor=case.extractor, generator=case.generator)
