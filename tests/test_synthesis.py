"""Synthesis accepts only samples that are measured to activate a missing feature, and forgets none of its work."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml

from fac_datasets import CoverageReport, FeatureExtractor, LocalGenerator, augment, coverage, feature_table, synthesize
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OutputError, SynthesisError
from fac_datasets.generation import Request, Steering
from fac_datasets.interpretation.explain import explain
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
from fac_datasets.synthesis.augment import AugmentedDataset, load_synthetic
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.kinds import data_kind
from fac_datasets.synthesis.kinds.base import few_shot_messages
from fac_datasets.synthesis.sample_journal import SampleJournal, Verdict
from fac_datasets.synthesis.synthesize import Round, _attempts, _contrastive_pair, _steering, _Target, measure
from fac_datasets.synthesis.unguided import synthesize_unguided
from tests.tiny import TEXTS, TINY_LAYER, TINY_WIDTH


class Case:
    """A seed of two texts, an anchor of all, and what synthesis needs."""

    def __init__(self, backbone: str, sae: str) -> None:
        self.extractor = FeatureExtractor(backbone, sae, threshold=0)
        self.seed_rows = datasets.Dataset.from_dict({"text": TEXTS[:2], "topic": ["a", "b"]})
        anchor_rows = datasets.Dataset.from_dict({"text": TEXTS[2:8]})
        self.seed = self.seed_rows.map(self.extractor, batched=True)
        self.anchor = anchor_rows.map(self.extractor, batched=True)
        self.report: CoverageReport = coverage(self.seed, self.anchor, threshold="q75")
        self.table = explain(feature_table(self.anchor, features=self.report.missing), TopTokensExplainer())
        self.generator = LocalGenerator(backbone, batch_size=8)

    def synthesize(self, **options: object) -> datasets.Dataset:
        defaults: dict[str, object] = {
            "extractor": self.extractor,
            "generator": self.generator,
            "examples": self.anchor,
            "max_features": 6,
            "max_new_tokens": 24,
            "temperature": 1.0,
        }
        return synthesize(self.report, self.table, **{**defaults, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def case(tiny_backbone: str, tiny_sae: str) -> Case:
    return Case(tiny_backbone, tiny_sae)


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
    assert _contrastive_pair(target) == ("strong", "weak")
    (sample, *_) = _attempts(target, Round(2, 0.0, True), data_kind("text"), case.extractor, case.generator, 0, 8)
    prompt = " ".join(content for _, content in sample.request.messages)
    assert sample.contrastive
    assert "strong" in prompt and "Not like this: weak" in prompt


@pytest.mark.parametrize("tried", [[], [(0.9, "one")], [(0.0, "one"), (0.0, "two")]])
def test_no_pair_is_invented_where_activations_do_not_differ(tried: list[tuple[float, str]]) -> None:
    assert _contrastive_pair(_Target(3, "name", 1.0, ["example"], tried=tried)) == (None, None)


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


@pytest.mark.parametrize("cut", [1, 5])
def test_a_journal_cut_off_anywhere_goes_on(tmp_path: Path, case: Case, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = SampleJournal(path)
    journal.completions.clear()
    journal._append({"sample": "a", "text": "line\u2028separator, naïve 漢字", "n_tokens": 1, "finished": True})
    journal._append({"sample": "b", "text": "second", "n_tokens": 1, "finished": True})
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    resumed = SampleJournal(path)
    assert list(resumed.completions) == ["a"]
    assert "\u2028" in resumed.completions["a"].text
    resumed.generate(case.generator, [Request((("user", "Hi"),), 1)], max_new_tokens=2, temperature=1.0)
    resumed.close()
    assert len(SampleJournal(path).completions) == 2


def test_a_journal_holds_every_batch_as_soon_as_it_is_generated(tmp_path: Path, case: Case) -> None:
    path, complete = tmp_path / "journal.jsonl", case.generator.complete
    seen: list[int] = []

    def looking(requests: list[Request], **options: object) -> object:
        seen.append(path.read_bytes().count(b"\n"))
        return complete(requests, **options)  # type: ignore[arg-type]

    case.generator.complete = looking  # type: ignore[method-assign, assignment]
    try:
        SampleJournal(path).generate(
            case.generator, [Request((("user", "Hi"),), i) for i in range(20)], max_new_tokens=2, temperature=1.0
        )
    finally:
        del case.generator.complete
    assert seen == [0, 8, 16]


def test_a_damaged_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"sample": broken\n{"sample": "k", "text": "t", "n_tokens": 1, "finished": true}\n')
    with pytest.raises(OutputError, match="line 1"):
        SampleJournal(path)


def test_a_journal_reads_back_what_it_wrote(case: Case, tmp_path: Path) -> None:
    journal = SampleJournal(tmp_path / "journal.jsonl")
    direction = np.ones(TINY_WIDTH, dtype=np.float32)
    requests = [Request((("user", "Hi"),), 1), Request((("user", "Hi"),), 1, Steering(TINY_LAYER, direction, 0.4))]
    first = journal.generate(case.generator, requests, max_new_tokens=4, temperature=1.0)
    journal.judge(first[0][0], Verdict(3, 1.5, "verified"))
    journal.close()
    again = SampleJournal(tmp_path / "journal.jsonl")
    assert again.completions == journal.completions
    assert again.verdicts == {first[0][0]: Verdict(3, 1.5, "verified")}
    assert len({key for key, _ in first}) == 2
    again.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The cat sat on the mat and looked at the rain!", "copy"),
        ("Yesterday the cat sat on the mat and looked at the rain.", "copy"),
        ("so so so so so so so", "repetitive"),
        ("Hi there", "too short"),
        ("A quiet evening by the harbour.", None),
        ("今天天气很好我们去公园散步吧。", None),
    ],
)
def test_filters(text: str, reason: str | None) -> None:
    assert Filters([TEXTS[0]]).reject(text) == reason


def test_an_answer_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    read = data_kind("text").read
    assert read("One. Two is", False) == "One."
    assert read("One. Two is", True) == "One. Two is"
    assert read("One two", False) is None
    assert read("print(1)\nprint(", False) == "print(1)"
    assert read("今天天气很好。我们去公园", False) == "今天天气很好。"
    assert read("One whole sentence.", False) == "One whole sentence."


def test_a_prompt_shows_examples_as_earlier_answers() -> None:
    kind = data_kind("text")
    messages = few_shot_messages(kind, ["one", "two"], bad="three")
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "three" in messages[-1][1]


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


def test_augment_joins_seed_and_synthetic_with_the_same_columns(case: Case) -> None:
    synthetic = case.synthesize()
    augmented = augment(case.seed, synthetic)
    splits = augmented.dataset
    assert splits["seed"].features == splits["synthetic"].features == splits["train"].features
    assert splits["train"].column_names == ["text", "topic", "synthetic_id"]
    assert splits["train"]["text"] == [*case.seed_rows["text"], *synthetic["text"]]
    assert splits["seed"]["synthetic_id"] == [None, None]
    assert splits["synthetic"]["topic"] == [None] * len(synthetic)
    assert augmented.provenance["synthetic_id"] == splits["synthetic"]["synthetic_id"]


def test_augment_puts_texts_into_chats(case: Case) -> None:
    chats = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": "Hi."}]]})
    synthetic = case.synthesize(max_features=2)
    row = augment(chats, synthetic).dataset["synthetic"][0]
    assert row["messages"] == [{"role": "user", "content": synthetic[0]["text"]}]


def test_augment_puts_texts_into_sharegpt_chats(case: Case) -> None:
    chats = datasets.Dataset.from_dict({"conversations": [[{"from": "human", "value": "Hi."}]]})
    synthetic = case.synthesize(max_features=2)
    row = augment(chats, synthetic).dataset["synthetic"][0]
    assert row["conversations"] == [{"from": "human", "value": synthetic[0]["text"]}]


def test_augment_fills_a_column_of_nothing(case: Case) -> None:
    nothing = datasets.Dataset.from_dict({"text": [None, None]})
    synthetic = case.synthesize(max_features=2)
    assert augment(nothing, synthetic).dataset["train"]["text"] == [None, None, *synthetic["text"]]


def test_augment_refuses_messages_that_it_cannot_fill(case: Case) -> None:
    parts = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]]})
    with pytest.raises(ColumnError, match="`role` and `content`"):
        augment(parts, case.synthesize(max_features=1))


def test_augment_keeps_what_a_review_accepted(case: Case) -> None:
    synthetic = case.synthesize()
    reviewed = synthetic.add_column("accepted", [i > 0 for i in range(len(synthetic))])
    assert len(augment(case.seed, reviewed).dataset["synthetic"]) == len(synthetic) - 1
    assert len(augment(case.seed, reviewed, keep="all").dataset["synthetic"]) == len(synthetic)


def test_augment_refuses_what_it_cannot_join(case: Case) -> None:
    synthetic = case.synthesize(max_features=1)
    with pytest.raises(SynthesisError, match="keep='some'"):
        augment(case.seed, synthetic, keep="some")
    with pytest.raises(SynthesisError, match="lack the columns"):
        augment(case.seed, case.seed)
    with pytest.raises(ColumnError, match="synthetic_id"):
        augment(augment(case.seed, synthetic).dataset["train"], synthetic)


@pytest.mark.parametrize(
    "seed",
    [
        {"text": ["seed"], "label": [1]},
        {"messages": [[{"role": "user", "content": "seed"}]]},
        {"conversations": [[{"from": "human", "value": "seed"}]]},
        {"instruction": ["seed"], "output": ["leaf"]},
    ],
)
def test_synthetic_rows_are_read_back_from_an_augmented_dataset(
    case: Case, seed: dict[str, list[object]], tmp_path: Path
) -> None:
    synthetic = case.synthesize(max_features=3)
    augmented = augment(datasets.Dataset.from_dict(seed), synthetic)
    save_with_header(augmented, tmp_path)
    loaded = load_synthetic(str(tmp_path))
    assert loaded.select_columns(synthetic.column_names).to_list() == synthetic.to_list()
    assert augment(datasets.Dataset.from_dict(seed), loaded).dataset["train"].to_list() == (
        augmented.dataset["train"].to_list()
    )


def test_synthetic_rows_are_read_from_a_file_of_them(case: Case, tmp_path: Path) -> None:
    synthetic = case.synthesize(max_features=1)
    synthetic.to_parquet(tmp_path / "rows.parquet")
    assert load_synthetic(str(tmp_path / "rows.parquet")).to_list() == synthetic.to_list()


def test_synthetic_rows_without_their_provenance_are_refused(case: Case, tmp_path: Path) -> None:
    synthetic = case.synthesize()
    augmented = augment(case.seed, synthetic)
    save_with_header(AugmentedDataset(augmented.dataset, augmented.provenance.select([0])), tmp_path)
    told = f"has {len(synthetic)} synthetic rows, which are not the 1 of its provenance"
    with pytest.raises(DatasetError, match=told):
        load_synthetic(str(tmp_path))


def save_with_header(augmented: AugmentedDataset, folder: Path) -> None:
    """Save with a card that has nothing but its header."""
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(augmented.save(folder))}---\n")
