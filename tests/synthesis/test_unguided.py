"""The control reaches as many tokens."""

from __future__ import annotations

from fac_datasets.synthesis.sample_journal import SampleJournal
from fac_datasets.synthesis.unguided import synthesize_unguided
from tests.synthesis.cases import Case
from tests.tiny import TEXTS


def test_the_unguided_control_reaches_its_tokens(case: Case) -> None:
    journal = SampleJournal()
    control = synthesize_unguided(
        TEXTS[:4],
        known=TEXTS,
        n_tokens=60,
        extractor=case.extractor,
        generator=case.generator,
        max_new_tokens=24,
        temperature=1.0,
        journal=journal,
    )
    tokens = case.extractor.extract(control["text"])["feature_tokens"]
    assert sum(tokens[:-1]) < 60 <= sum(tokens)
    assert journal.outcomes()["verified"] == len(control)
