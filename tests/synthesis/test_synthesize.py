"""Synthesis accepts only samples that are measured to activate a missing feature, and forgets none of its work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fac_datasets import FeatureExtractor, coverage, feature_table, synthesize
from fac_datasets.errors import FeatureSpaceMismatch, OptionError, SynthesisError
from fac_datasets.generation import Limits
from fac_datasets.synthesis.fluency import Fluency
from fac_datasets.synthesis.sample_journal import SampleJournal
from tests.synthesis.cases import Case
from tests.synthesis.listening import asked_of


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


def test_one_sample_is_asked_for_first_and_more_only_on_a_miss(case: Case) -> None:
    hard = int(case.report.missing_by_anchor_rows[0])
    with asked_of(case.generator) as asked:
        synthetic = case.synthesize(targets=[hard], methods="prompted", max_attempts=5)
    assert len(asked) == (synthetic["attempt"][0] if len(synthetic) else 5)


def test_a_sample_that_reaches_another_target_counts_for_it(case: Case) -> None:
    wanted = case.report.missing_by_anchor_rows[:6].tolist()
    synthetic = case.synthesize(samples_per_feature=2, methods="prompted")
    made_for_others = [row for row in synthetic if ", made for feature " in row["method"]]
    for row in made_for_others:
        assert row["target_feature"] in wanted
        assert row["target_activation"] > row["target_threshold"]
    assert max(Counter(synthetic["target_feature"]).values()) <= 2


def test_a_limit_that_is_reached_ends_it_with_what_was_accepted(case: Case) -> None:
    journal = SampleJournal(limits=Limits(max_calls=8))
    synthetic = case.synthesize(journal=journal, methods="prompted")
    assert len(journal.completions) <= 8
    assert {*synthetic["synthetic_id"]} <= {row["synthetic_id"] for row in case.synthesize(methods="prompted")}


def test_samples_have_all_columns_of_the_dataset_that_they_are_made_for(case: Case) -> None:
    synthetic = case.synthesize(schema_of=case.seed_rows, column="text")
    assert synthetic.column_names[:3] == ["text", "topic", "synthetic_id"]
    assert set(synthetic["topic"]) == {None}
    assert synthetic.features["topic"] == case.seed_rows.features["topic"]


def test_planned_targets_need_the_anchor(case: Case) -> None:
    with pytest.raises(OptionError, match="needs the anchor with its feature columns"):
        case.synthesize(targets="planned", examples=None)
    planned = case.synthesize(targets="planned")
    assert set(planned["target_feature"]) <= set(case.report.missing.tolist())


def test_where_nothing_is_missing_there_are_columns_and_no_rows(case: Case) -> None:
    report = coverage(case.anchor, case.anchor, threshold="q75")
    table = feature_table(case.anchor, features=report.covered[:1])
    synthetic = synthesize(report, table, extractor=case.extractor, generator=case.generator, schema_of=case.seed_rows)
    assert len(synthetic) == 0
    assert synthetic.column_names[:3] == ["text", "topic", "synthetic_id"]


def test_unknown_features_targets_ways_and_kinds_are_errors(case: Case) -> None:
    with pytest.raises(SynthesisError, match="feature table lacks 1 of the 1"):
        case.synthesize(targets=[int(case.report.covered[0])])
    with pytest.raises(OptionError, match="targets='all' is none of"):
        case.synthesize(targets="all")
    with pytest.raises(OptionError, match="no way of generating 'prayed'"):
        case.synthesize(methods="prayed")
    with pytest.raises(SynthesisError, match="no data kind 'poem'"):
        case.synthesize(kind="poem")


def test_an_extractor_of_another_space_is_refused(case: Case, tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(FeatureSpaceMismatch):
        case.synthesize(extractor=FeatureExtractor(tiny_backbone, tiny_sae, render="raw"))


@pytest.mark.slow
def test_a_killed_run_repeats_nothing(case: Case, tmp_path: Path) -> None:
    whole = case.synthesize(journal=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:7]) + lines[7][:10])
    journal = SampleJournal(tmp_path / "cut.jsonl")
    kept = set(journal.completions)
    assert len(kept) >= 5
    with asked_of(case.generator) as generated:
        resumed = case.synthesize(journal=journal)
    journal.close()
    assert resumed["text"] == whole["text"]
    assert len(generated) == len(journal.completions) - len(kept)
    # With everything journalled, a third run asks the generator for nothing.
    with asked_of(case.generator) as generated:
        assert case.synthesize(journal=tmp_path / "cut.jsonl")["text"] == whole["text"]
    assert not generated


def test_verdicts_tell_the_way_and_all_tokens_behind_a_draft(case: Case) -> None:
    journal = SampleJournal()
    likely = Fluency(lambda texts: np.zeros(len(texts)), 1.0)
    case.synthesize(methods="prompted,guided", max_attempts=3, fluency=likely, journal=journal)
    ways = journal.by_way()
    assert {*ways} <= {"prompted", "prompted+guided"}
    # Continuations that were dropped count too.
    assert sum(tally.decoded_tokens for tally in ways.values()) == journal.decoded_tokens()
    assert sum(tally.prompt_tokens for tally in ways.values()) == journal.prompt_tokens() > 0
    assert len(journal.completions) > sum(tally.drafts for tally in ways.values())


def test_every_measured_sample_is_a_try_of_the_feature_that_it_was_made_for(case: Case) -> None:
    journal = SampleJournal()
    synthetic = case.synthesize(methods="prompted", samples_per_feature=2, journal=journal)
    for feature, (fired, tried) in journal.tries().items():
        own = [row for row in synthetic if row["target_feature"] == feature and "made for" not in row["method"]]
        assert len(own) <= fired <= tried


def test_a_way_that_can_be_used_for_no_target_is_refused(case: Case) -> None:
    with pytest.raises(OptionError, match="'prompted\\+guided' can be used for no target: nothing says how likely"):
        case.synthesize(methods="prompted,guided")
