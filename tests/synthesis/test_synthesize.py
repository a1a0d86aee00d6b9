"""Synthesis accepts only samples that are measured to activate a missing feature, and forgets none of its work."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.errors import FeatureSpaceMismatch, SynthesisError
from fac_datasets.generation import Request
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.sample_journal import SampleJournal
from fac_datasets.synthesis.synthesize import Round, _attempts, _contrastive_pair, _steering, _Target, measure
from tests.synthesis.cases import Case
from tests.tiny import TEXTS


def test_every_claimed_feature_is_active_when_extracted_anew(case: Case, tiny_backbone: str, tiny_sae: str) -> None:
    synthetic = case.synthesize()
    assert len(synthetic)
    fresh = FeatureExtractor(tiny_backbone, tiny_sae, threshold="q75")
    for row, ids in zip(synthetic, fresh.extract(synthetic["text"])["feature_ids"], strict=True):
        assert row["target_feature"] in ids
        assert row["target_activation"] > row["target_threshold"]
    assert set(synthetic["target_feature"]) <= set(case.report.missing_by_anchor_rows[:6].tolist())
    assert len(set(synthetic["text"])) == len(synthetic)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(case: Case) -> None:
    first = case.synthesize()
    assert case.synthesize().to_list() == first.to_list()
    assert case.synthesize(seed=1)["text"] != first["text"]


def test_attempts_samples_and_features_are_limited(case: Case) -> None:
    journal = SampleJournal()
    synthetic = case.synthesize(max_features=3, max_attempts=3, max_samples=2, journal=journal)
    assert len(synthetic) <= 2
    assert 0 < len(journal.verdicts) <= 9
    assert sum(journal.outcomes().values()) == len(journal.completions)


def test_a_feature_that_no_sample_reaches_has_no_row(case: Case) -> None:
    synthetic = case.synthesize(max_attempts=1, max_new_tokens=1)
    assert len(synthetic) == 0
    assert "target_feature" in synthetic.column_names


def test_later_rounds_show_a_measured_pair_and_steer(case: Case) -> None:
    journal = SampleJournal()
    hard = int(case.report.missing_by_anchor_rows[0])
    asked: list[Request] = []
    complete = case.generator.complete

    def listening(requests: list[Request], **options: object) -> object:
        asked.extend(requests)
        return complete(requests, **options)  # type: ignore[arg-type]

    case.generator.complete = listening  # type: ignore[method-assign, assignment]
    try:
        case.synthesize(features=[hard], samples_per_feature=50, max_attempts=8, journal=journal)
    finally:
        del case.generator.complete
    assert [request.steering is not None for request in asked] == [False] * 2 + [True] * 6
    strengths = {request.steering.strength for request in asked if request.steering}
    assert strengths == {0.4, 0.6}


def test_the_contrastive_pair_is_what_was_measured(case: Case) -> None:
    target = _Target(3, "name", 1.0, ["example"], tried=[(0.5, "middle"), (0.0, "weak"), (0.9, "strong")])
    assert _contrastive_pair(target) == ((0.9, "strong"), (0.0, "weak"))
    kind = recognise(datasets.Dataset.from_dict({"text": ["Pears."]}))
    (sample, *_) = _attempts(target, Round(2, 0.0, True), kind, case.extractor, case.generator, 0, 8)
    prompt = " ".join(content for _, content in sample.request.messages)
    assert sample.contrastive
    assert "strong" in prompt and "measured to be 0.00:\nweak" in prompt


@pytest.mark.parametrize("tried", [[], [(0.9, "one")], [(0.0, "one"), (0.0, "two")]])
def test_no_pair_is_invented_where_activations_do_not_differ(tried: list[tuple[float, str]]) -> None:
    assert _contrastive_pair(_Target(3, "name", 1.0, ["example"], tried=tried)) is None


def test_a_generator_with_a_similar_name_is_not_steered(case: Case) -> None:
    target = _Target(3, "name", 1.0, ["example"])
    name = case.generator.name
    assert _steering(target, 0.4, case.extractor, case.generator) is not None
    case.generator.name = f"my-{name}"
    try:
        assert _steering(target, 0.4, case.extractor, case.generator) is None
    finally:
        case.generator.name = name


def test_nothing_missing_and_unknown_features_are_errors(case: Case) -> None:
    with pytest.raises(SynthesisError, match="no feature is missing"):
        case.synthesize(features=[])
    with pytest.raises(SynthesisError, match="feature table lacks 1 of the 1"):
        case.synthesize(features=[int(case.report.covered[0])])
    with pytest.raises(SynthesisError, match="no data kind 'poem'"):
        case.synthesize(kind="poem")


def test_an_extractor_of_another_space_is_refused(case: Case, tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(FeatureSpaceMismatch):
        case.synthesize(extractor=FeatureExtractor(tiny_backbone, tiny_sae, render="raw"))


def test_measure_gives_activations_below_the_stored_cut_off(case: Case, tiny_backbone: str, tiny_sae: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae)
    found = measure(extractor, [TEXTS[0]])[0]
    stored = extractor.extract([TEXTS[0]])["feature_ids"][0]
    assert set(stored) < set(found)


@pytest.mark.slow
def test_a_killed_run_repeats_nothing(case: Case, tmp_path: Path) -> None:
    whole = case.synthesize(journal=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:7]) + lines[7][:10])
    journal = SampleJournal(tmp_path / "cut.jsonl")
    kept = set(journal.completions)
    assert len(kept) >= 5
    generated: list[Request] = []
    complete = case.generator.complete

    def counting(requests: list[Request], **options: object) -> object:
        generated.extend(requests)
        return complete(requests, **options)  # type: ignore[arg-type]

    case.generator.complete = counting  # type: ignore[method-assign, assignment]
    try:
        resumed = case.synthesize(journal=journal)
    finally:
        del case.generator.complete
    journal.close()
    assert resumed["text"] == whole["text"]
    assert len(generated) == len(journal.completions) - len(kept)
    # With everything journalled, a third run asks the generator for nothing.
    generated.clear()
    assert case.synthesize(journal=tmp_path / "cut.jsonl")["text"] == whole["text"]
    assert not generated
