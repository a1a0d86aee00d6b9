"""Relevance without a language model: compared with independent implementations of the same statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import (
    FeatureExtractor,
    ablation_relevance,
    contrast_relevance,
    coverage,
    feature_table,
    relevant_features,
)
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError
from fac_datasets.interpretation import ablation
from fac_datasets.interpretation.ablation import Question, _effect
from fac_datasets.interpretation.contrast import contrast, distinct_features, split_by_label
from fac_datasets.interpretation.statistics import adjusted_p, auroc, balanced_accuracy, wilson
from fac_datasets.sae.splicing import SplicedModel

SPACE = f"m@{1:016x}/layer1/raw/s@{2:016x}/sae/max/>0/cut512"


def rows_of(activations: np.ndarray, tokens: Any = None) -> datasets.Dataset:
    """Feature columns of dense activations, [n_rows, n_features], of rows that are all equally long by default."""
    kinds = {
        "feature_ids": datasets.List(datasets.Value("int32")),
        "feature_activations": datasets.List(datasets.Value("float32")),
        "feature_tokens": datasets.Value("int32"),
        "feature_space": datasets.Value("string"),
    }
    columns = {
        "feature_ids": [np.flatnonzero(row) for row in activations],
        "feature_activations": [row[row > 0] for row in activations],
        "feature_tokens": [0] * len(activations) if tokens is None else tokens,
        "feature_space": [SPACE] * len(activations),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def table_of(n_features: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"feature_id": range(n_features), "feature_space": [SPACE] * n_features})


def sample(n_rows: int, n_features: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Activations with many zeros and many ties."""
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.normal(shift, 1.0, size=(n_rows, n_features)), 0).round(1)
    return values.astype(np.float32)


# --- statistics ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_auroc_is_that_of_scikit_learn(positive: list[int], negative: list[int]) -> None:
    labels = [1] * len(positive) + [0] * len(negative)
    assert auroc(positive, negative) == pytest.approx(sklearn.metrics.roc_auc_score(labels, positive + negative))


@given(st.integers(0, 40), st.integers(1, 40))
def test_the_interval_of_a_share_is_that_of_scipy(successes: int, n: int) -> None:
    successes = min(successes, n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((successes / n, expected.low, expected.high), abs=1e-9)


def test_the_interval_of_a_balanced_accuracy_covers_it() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2_000):
        found = balanced_accuracy(int(rng.binomial(10, 0.8)), 10, int(rng.binomial(10, 0.6)), 10)
        inside += found.low <= 0.7 <= found.high
    assert 0.93 < inside / 2_000 < 0.995


@given(st.lists(st.floats(0, 1), min_size=1))
def test_adjusted_p_values_are_those_of_scipy(p: list[float]) -> None:
    assert adjusted_p(np.array(p)) == pytest.approx(scipy.stats.false_discovery_control(p))


# --- contrast --------------------------------------------------------------------------------------------------------


def test_the_contrast_of_every_feature_is_mann_and_whitneys() -> None:
    positive, background = sample(60, 30, 0, 0.4), sample(90, 30, 1)
    positive[:, 7], background[:, 7] = 0, 0
    found = contrast(rows_of(positive), rows_of(background), np.arange(30))
    rng = np.random.default_rng(0)
    for feature in range(30):
        if feature == 7:
            assert (found.effect[7], found.p[7]) == (0, 1)
            continue
        sides = (part[:, feature].astype(float) for part in (positive, background))
        expected = scipy.stats.mannwhitneyu(*sides, method="asymptotic", use_continuity=False)
        assert found.effect[feature] == pytest.approx(2 * expected.statistic / (60 * 90) - 1)
        # The p-value is that of labels dealt out at random, however many rows are tied at 0.
        ranks = scipy.stats.rankdata(np.concatenate([positive[:, feature], background[:, feature]]))
        sums = rng.permuted(np.tile(ranks, (4_000, 1)), axis=1)[:, :60].sum(axis=1)
        observed = ranks[:60].sum()
        dealt = 2 * min((sums >= observed).mean(), (sums <= observed).mean())
        assert found.p[feature] == pytest.approx(min(dealt, 1), rel=0.3, abs=0.01)
    assert found.adjusted_p == pytest.approx(scipy.stats.false_discovery_control(found.p))


def test_the_log_odds_of_firing_are_those_of_the_table_with_half_a_pair_more() -> None:
    positive, background = sample(60, 20, 0, 0.4), sample(90, 20, 1)
    found = contrast(rows_of(positive), rows_of(background), np.arange(20), measure="log_odds")
    for feature in range(20):
        cells = np.array(
            [[(part[:, feature] > 0).sum(), (part[:, feature] == 0).sum()] for part in (positive, background)]
        )
        pairs = cells[0, 0] * cells[1, 1] / 150 + 0.5, cells[0, 1] * cells[1, 0] / 150 + 0.5
        assert found.effect[feature] == pytest.approx(np.log(pairs[0] / pairs[1]))
        assert found.p[feature] == pytest.approx(exact_p(int(cells[0, 0]), int(cells[1, 0]), 60, 90), rel=0.3)


def exact_p(fired: int, fired_there: int, n_positive: int, n_background: int) -> float:
    """Fisher's test, whose two tails are taken to be alike."""
    chance = scipy.stats.hypergeom(n_positive + n_background, fired + fired_there, n_positive)
    return float(min(1.0, 2 * min(chance.sf(fired - 1), chance.cdf(fired))))


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
@pytest.mark.parametrize("fired", [1, 2, 5, 12])
def test_a_feature_that_fires_in_few_rows_is_as_significant_as_an_exact_test_says(measure: str, fired: int) -> None:
    # Where a normal distribution would say 1e-5 of one row among 5 % that is positive, chance gives it in 0.05.
    for others in (0, 3):
        positive, background = np.zeros((30, 1), np.float32), np.zeros((570, 1), np.float32)
        positive[:fired], background[:others] = 1, 1
        found = contrast(rows_of(positive), rows_of(background), [0], measure=measure).p[0]
        exact = exact_p(fired, others, 30, 570)
        assert 0.8 * exact < found < max(exact**0.6, 1e-9), "rather too large than too small"


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_labels_dealt_out_at_random_find_nothing_however_few_are_positive(measure: str) -> None:
    # 2,000 features, most of which fire in a handful of 600 rows, and labels that have nothing to do with them.
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-3, -0.3, size=2_000)
    values = ((rng.random((600, 2_000)) < rates) * rng.gamma(2.0, size=(600, 2_000))).astype(np.float32)
    lengths = rng.integers(10, 200, 600)
    discoveries = []
    for _ in range(4):
        order = rng.permutation(600)
        sides = [rows_of(values[part], lengths[part]) for part in (order[:30], order[30:])]
        judged = contrast_relevance(table_of(2_000), *sides, measure=measure)
        discoveries.append(len(relevant_features(judged)))
    assert sum(discoveries) <= 2, discoveries


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_of_a_rare_task_is_found_among_thousands(measure: str) -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((600, 2_000)) < 0.02).astype(np.float32)
    values[:10, 0], values[10:, 0] = 1, 0
    sides = rows_of(values[:30]), rows_of(values[30:])
    assert relevant_features(contrast_relevance(table_of(2_000), *sides, measure=measure)).tolist() == [0]


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_that_fires_less_is_no_evidence_however_unequal_the_sides(measure: str) -> None:
    # 0 of 100 rows of the task against 400 of 10,000 others; the second feature fires nowhere.
    positive, background = np.zeros((100, 2), np.float32), np.zeros((10_000, 2), np.float32)
    background[:400, 0] = 1
    lengths = [np.random.default_rng(0).integers(10, 200, len(side)) for side in (positive, background)]
    sides = [rows_of(side, length) for side, length in zip((positive, background), lengths, strict=True)]
    found = contrast(sides[0], sides[1], [0, 1], measure=measure)
    assert found.effect[0] < 0
    assert (found.effect[1], found.p[1]) == (0, 1)


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_of_long_texts_is_no_feature_of_the_task(measure: str) -> None:
    # Feature 0 fires in long rows, of which the task has more; feature 1 in rows of the task, whatever their length.
    rng = np.random.default_rng(0)
    sides = []
    for longer, harm in ((0.8, 1.0), (0.2, 0.0)):
        is_long = rng.random(400) < longer
        values = np.stack([is_long * (1 + rng.random(400)), (rng.random(400) < 0.2 + 0.3 * harm) * 1.0], axis=1)
        sides.append(rows_of(values.astype(np.float32), np.where(is_long, 200, 20) + rng.integers(0, 9, 400)))
    found = contrast(sides[0], sides[1], [0, 1], measure=measure)
    assert found.p[0] > 0.01 > 1e-6 > found.p[1]
    assert abs(found.effect[0]) < 0.1 < found.effect[1] or measure == "log_odds"
    alike = [side.remove_columns("feature_tokens").add_column("feature_tokens", [0] * 400) for side in sides]
    assert contrast(alike[0], alike[1], [0, 1], measure=measure).p[0] < 1e-20


def test_groups_of_lengths_are_compared_each_by_itself() -> None:
    positive, background = sample(200, 10, 0, 0.3), sample(200, 10, 1)
    lengths = [np.repeat([10, 90], 100), np.repeat([10, 90], [60, 140])]
    found = contrast(rows_of(positive, lengths[0]), rows_of(background, lengths[1]), np.arange(10))
    for feature in range(10):
        weighted = []
        for length in (10, 90):
            one = positive[lengths[0] == length, feature].astype(float)
            other = background[lengths[1] == length, feature].astype(float)
            u = scipy.stats.mannwhitneyu(one, other).statistic
            half = len(one) * len(other) / 2
            weighted.append(np.array([u - half, half]) / (len(one) + len(other) + 1))
        difference, whole = np.sum(weighted, axis=0)
        assert found.effect[feature] == pytest.approx(difference / whole)


def test_rows_without_any_of_their_length_on_the_other_side_are_not_left_out_in_silence() -> None:
    positive, background = sample(60, 3, 0), sample(60, 3, 1)
    with pytest.raises(DatasetError, match="medians 90 and 10"):
        contrast(rows_of(positive, [90] * 60), rows_of(background, [10] * 60), [0])
    with pytest.warns(UserWarning, match="40 of 120 rows"):
        contrast(rows_of(positive, [90] * 40 + [10] * 20), rows_of(background, [10] * 60), [0])


def test_features_that_fire_alike_are_taken_once() -> None:
    values = sample(100, 4, 0)
    values[:, 2] = values[:, 0] * 2
    rows, judged = rows_of(values), table_of(4).add_column("contrast", [0.5, -0.4, -0.6, 0.1])
    assert distinct_features(judged, rows, 4).tolist() == [2, 1, 3]
    assert distinct_features(judged, rows, 2).tolist() == [2, 1]
    assert distinct_features(judged, rows, 4, alike=1.01).tolist() == [2, 0, 1, 3]
    assert distinct_features(judged.select([3, 0]), rows, 4).tolist() == [0, 3]
    with pytest.raises(ColumnError, match="'contrast', which contrast_relevance makes"):
        distinct_features(table_of(4), rows, 2)
    foreign = judged.remove_columns("feature_space").add_column(
        "feature_space", [SPACE.replace("layer1", "layer2")] * 4
    )
    with pytest.raises(FeatureSpaceMismatch):
        distinct_features(foreign, rows, 2)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["auroc", "log_odds"]))
def test_exchanging_the_sides_turns_the_direction(seed: int, measure: str) -> None:
    one, other = rows_of(sample(12, 6, seed, 0.5)), rows_of(sample(17, 6, seed + 1))
    forth = contrast(one, other, np.arange(6), measure=measure)
    back = contrast(other, one, np.arange(6), measure=measure)
    assert forth.effect == pytest.approx(-back.effect)
    assert forth.p == pytest.approx(back.p)


def test_few_of_many_features_without_a_difference_pass() -> None:
    same = contrast_relevance(table_of(400), rows_of(sample(80, 400, 0)), rows_of(sample(80, 400, 1)))
    assert len(relevant_features(same)) <= 4
    shifted = sample(80, 400, 0)
    shifted[:, :20] += 1
    found = contrast_relevance(table_of(400), rows_of(shifted), rows_of(sample(80, 400, 1)))
    assert {*range(20)} <= {*relevant_features(found).tolist()}
    assert len(relevant_features(found)) <= 24


def test_a_feature_that_fires_less_in_the_task_is_reported_but_no_evidence() -> None:
    positive, background = sample(80, 3, 0), sample(80, 3, 1)
    background[:, 1] += 1
    found = contrast_relevance(table_of(3), rows_of(positive), rows_of(background))
    assert found["contrast"][1] < -0.5
    assert found["relevance_p"][1] < 0.001
    assert found["evidence"][1] == []
    assert set(found["contrast_measure"]) == {"auroc"}


def test_other_evidence_stays_and_the_same_kind_is_replaced() -> None:
    table = table_of(2).add_column("evidence", [["llm", "contrast"], ["contrast"]])
    positive, background = sample(80, 2, 0), sample(80, 2, 1)
    positive[:, 1] += 1
    found = contrast_relevance(table, rows_of(positive), rows_of(background))
    assert found["evidence"] == [["llm"], ["contrast"]]


def test_features_of_the_table_alone_are_compared() -> None:
    rows = rows_of(sample(20, 50, 0))
    found = contrast_relevance(table_of(50).select([40, 2]), rows, rows)
    assert found["feature_id"] == [40, 2]
    assert found["contrast"] == pytest.approx([0, 0])


def test_labels_of_a_dataset_make_the_two_sides() -> None:
    rows = datasets.Dataset.from_dict({"text": list("abcde"), "toxic": [1, 0, None, 1, 0]})
    positive, background = split_by_label(rows, "toxic", "1")
    assert (positive["text"], background["text"]) == (["a", "d"], ["b", "e"])
    with pytest.raises(ColumnError, match="'harm'"):
        split_by_label(rows, "harm", 1)
    with pytest.raises(ColumnError, match=r"label 2.*\['0', '1', 'None'\]"):
        split_by_label(rows, "toxic", 2)


def test_a_contrast_without_meaning_is_refused(tiny_backbone: str, tiny_sae: str) -> None:
    rows = rows_of(sample(5, 3, 0))
    with pytest.raises(DatasetError, match="background"):
        contrast_relevance(table_of(3), rows, rows.select([]))
    with pytest.raises(OptionError, match="measure="):
        contrast_relevance(table_of(3), rows, rows, measure="f1")
    for alpha in (0.0, 1.0):
        with pytest.raises(OptionError, match="alpha="):
            contrast_relevance(table_of(3), rows, rows, alpha=alpha)
    other = datasets.Dataset.from_dict({"text": ["a"]}).map(
        FeatureExtractor(tiny_backbone, tiny_sae, threshold=0), batched=True
    )
    with pytest.raises(FeatureSpaceMismatch):
        contrast_relevance(table_of(3), other, rows)
    stored = datasets.Dataset.from_dict({"text": ["a"]}).map(FeatureExtractor(tiny_backbone, tiny_sae), batched=True)
    with pytest.raises(ColumnError, match="threshold=0"):
        contrast(stored, stored, [0])


# --- ablation --------------------------------------------------------------------------------------------------------

TASK = ["The cat sat on the mat.", "I would like two cups of coffee, please.", "Dogs bark and birds sing.", "Hi"]


@pytest.fixture(scope="module")
def extractor(tiny_backbone: str, tiny_sae: str) -> FeatureExtractor:
    return FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)


@pytest.fixture(scope="module")
def task(extractor: FeatureExtractor) -> datasets.Dataset:
    rows = datasets.Dataset.from_dict({"text": TASK, "label": ["yes", "no", "yes", "no"]})
    return rows.map(extractor, batched=True)


@pytest.fixture(scope="module")
def table(task: datasets.Dataset, tiny_backbone: str) -> datasets.Dataset:
    return feature_table(task)


@pytest.fixture(scope="module")
def model(tiny_backbone: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)


def spelled_out(extractor: FeatureExtractor, model: Any, row: Any, feature: int) -> float | None:
    """How much the mean cross-entropy of a text, or of a chat's second message, rises without a feature that fires."""
    (window,) = extractor.windows([row])
    tokens, own = torch.from_numpy(window.token_ids)[None], torch.from_numpy(window.own)
    target = own if isinstance(row, str) else own & torch.from_numpy(window.messages == 1)
    fired = False

    def ablate(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        nonlocal fired
        codes = extractor.sae.encode(output[0])[:, feature] * own
        fired = bool((codes > 0).any())
        return output - (codes[:, None] * extractor.sae.decoder[feature] / extractor.sae.config.input_scale)[None]

    def loss() -> torch.Tensor:
        with torch.inference_mode():
            logits = model(tokens).logits[0, :-1]
        return torch.nn.functional.cross_entropy(logits[target[1:]], tokens[0, 1:][target[1:]])

    plain = loss()
    handle = model.model.layers[extractor.feature_space.layer - 1].register_forward_hook(ablate)
    ablated = loss()
    handle.remove()
    return float(ablated - plain) if fired else None


def test_the_effect_is_the_rise_of_the_loss_without_the_feature(
    extractor: FeatureExtractor, task: datasets.Dataset, table: datasets.Dataset, model: Any
) -> None:
    chosen = table["feature_id"][:6]
    found = ablation_relevance(table, task, extractor, features=chosen)
    for row in found.select(range(6)):
        effects = [spelled_out(extractor, model, text, row["feature_id"]) for text in TASK]
        expected = [effect for effect in effects if effect is not None]
        assert row["effect_rows"] == len(expected)
        assert row["effect"] == pytest.approx(np.mean(expected), abs=1e-5)
        if len(expected) > 1:
            assert row["effect_low"] < row["effect"] < row["effect_high"]
        assert (row["effect_p"], "effect" in row["evidence"]) == (None, False), "four rows are too few for evidence"
    assert found["effect"][6:] == [None] * (len(table) - 6)
    assert set(found["effect_measure"]) == {"loss"}


def test_the_loss_of_a_chat_is_that_of_its_answers(
    extractor: FeatureExtractor, table: datasets.Dataset, model: Any
) -> None:
    chat = [{"role": "user", "content": TASK[1]}, {"role": "assistant", "content": TASK[0]}]
    chosen = table["feature_id"][:8]
    found = ablation_relevance(table, datasets.Dataset.from_dict({"messages": [chat]}), extractor, features=chosen)
    expected = [spelled_out(extractor, model, chat, feature) for feature in chosen]
    assert any(expected)
    for row, effect in zip(found, expected, strict=False):
        assert row["effect"] == (None if effect is None else pytest.approx(effect, abs=1e-5))


def test_with_a_question_the_effect_is_the_loss_of_log_odds(
    extractor: FeatureExtractor, task: datasets.Dataset, table: datasets.Dataset, model: Any
) -> None:
    question = Question("Is it so?", column="label", positive="yes", yes="Dogs", no="The")
    found = ablation_relevance(table, task, extractor, features=table["feature_id"], most=96, question=question)
    assert set(found["effect_measure"]) == {"log-odds"}
    tokenizer = extractor.backbone.tokenizer
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Dogs", "The"))
    feature = next(row["feature_id"] for row in found if row["effect_rows"] == len(TASK))
    effects = []
    for text, label in zip(TASK, task["label"], strict=True):
        messages = [{"role": "user", "content": f"{text}\n\nIs it so?"}]
        tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        before = len(tokenizer(rendered[: rendered.index(text)], add_special_tokens=False)["input_ids"])

        def ablate(
            _module: object, _inputs: object, output: torch.Tensor, before: int = before, text: str = text
        ) -> torch.Tensor:
            codes = extractor.sae.encode(output[0])[:, feature]
            # The text alone is the row's own; the template and the question are not.
            codes[:before] = 0
            codes[before + len(tokenizer(text)["input_ids"]) :] = 0
            return output - (codes[:, None] * extractor.sae.decoder[feature] / extractor.sae.config.input_scale)[None]

        sign = 1 if label == "yes" else -1
        odds = []
        for hook in (None, ablate):
            handle = model.model.layers[1].register_forward_hook(hook) if hook else None
            with torch.inference_mode():
                last = model(tokens).logits[0, -1]
            odds.append(sign * float(last[yes] - last[no]))
            if handle:
                handle.remove()
        effects.append(odds[0] - odds[1])
    (row,) = [row for row in found if row["feature_id"] == feature]
    assert row["effect"] == pytest.approx(np.mean(effects), abs=1e-4)


def test_a_killed_ablation_goes_on_from_its_last_batch(
    extractor: FeatureExtractor, table: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "_BATCH_TOKENS", 16)
    rows = datasets.Dataset.from_dict({"text": TASK * 3})
    chosen, journal = table["feature_id"][:5], tmp_path / "ablation.jsonl"
    expected = ablation_relevance(table, rows, extractor, features=chosen, journal=journal)
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) > 6
    # Killed in the middle of the fifth batch.
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:3])
    measure, measured = ablation._Ablation._of_batch, []

    def counting(self: Any, indices: list[int], features: Any) -> Any:
        measured.append(indices)
        return measure(self, indices, features)

    monkeypatch.setattr(ablation._Ablation, "_of_batch", counting)
    found = ablation_relevance(table, rows, extractor, features=chosen, journal=journal)
    assert len(measured) == len(lines) - 5
    assert found.to_list() == expected.to_list()
    assert journal.read_bytes() == whole
    # What was measured of other features, or of other rows, is of no use.
    measured.clear()
    ablation_relevance(table, rows, extractor, features=chosen[1:], journal=journal)
    assert len(measured) == len(lines) - 1


def test_an_ablated_pass_runs_only_what_comes_behind(extractor: FeatureExtractor, tiny_backbone: str) -> None:
    spliced = SplicedModel(tiny_backbone, extractor.feature_space.layer, device=torch.device("cpu"))
    tokens = torch.arange(8)[None]
    ran: list[int] = []
    for number, block in enumerate(spliced._model.model.layers):
        block.mlp.register_forward_hook(lambda *_, number=number: ran.append(number))
    plain = spliced.logits(tokens)
    residual = spliced.residual.clone()
    assert ran == [0, 1, 2]
    ran.clear()
    assert torch.equal(spliced.logits(tokens, residual), plain)
    assert ran == [2]
    assert torch.equal(spliced.logits(tokens), plain)


def test_rows_without_a_label_are_asked_nothing(
    extractor: FeatureExtractor, task: datasets.Dataset, table: datasets.Dataset
) -> None:
    question = Question("Is it so?", column="label", positive="yes", yes="Dogs", no="The")
    some = table["feature_id"][:8]
    task = task.select_columns(["text", "label"])
    unlabelled = datasets.Dataset.from_dict({"text": ["Nobody knows."], "label": [None]}, features=task.features)
    both = datasets.concatenate_datasets([unlabelled, task])
    found = [ablation_relevance(table, rows, extractor, features=some, question=question) for rows in (task, both)]
    assert found[0]["effect"] == found[1]["effect"]
    with pytest.raises(ColumnError, match="no row has the label 'certainly'"):
        ablation_relevance(table, task, extractor, features=some, question=question._replace(positive="certainly"))


def test_a_feature_that_the_answer_hangs_on_is_evidence(extractor: FeatureExtractor, table: datasets.Dataset) -> None:
    rows = datasets.Dataset.from_dict({"text": [f"{text} {i}" for i in range(3) for text in TASK]})
    found = ablation_relevance(table, rows, extractor, features=table["feature_id"], most=96)
    for row in found:
        harms = row["effect_p"] is not None and row["effect_p"] <= 0.05 and row["effect"] > 0
        assert ("effect" in row["evidence"]) == harms
    assert relevant_features(found, evidence=["effect"]).size


def test_an_effect_is_evidence_only_where_chance_would_hardly_give_it() -> None:
    rng = np.random.default_rng(0)
    for rows in (2, 5, 30):
        lows = np.array([_effect(rng.normal(size=rows)).low for _ in range(2_000)])
        assert (lows > 0).mean() < 0.035, "the lower end lies above 0 in one of 40 cases"
    assert _effect(np.ones(4)).p is None, "four rows are too few"
    clear = _effect(np.array([1.0, 1.1, 0.9, 1.0, 1.05]))
    assert clear.p is not None and clear.p < 0.001
    expected = scipy.stats.ttest_1samp([0.1, 0.4, -0.2, 0.5, 0.3, 0.2], 0).pvalue
    assert _effect(np.array([0.1, 0.4, -0.2, 0.5, 0.3, 0.2])).p == pytest.approx(expected, rel=0.1)


def test_candidates_are_those_with_evidence_strongest_first(
    extractor: FeatureExtractor, task: datasets.Dataset, table: datasets.Dataset
) -> None:
    n = len(table)
    judged = table.add_column("evidence", [["contrast"]] * 3 + [[]] * (n - 3)).add_column(
        "contrast", [0.1, 0.9, 0.5] + [1.0] * (n - 3)
    )
    found = ablation_relevance(judged, task, extractor, most=2)
    assert [row["feature_id"] for row in found if row["effect_rows"] is not None] == table["feature_id"][1:3]
    assert all("contrast" in row["evidence"] for row in found.select(range(3)))


def test_an_ablation_without_meaning_is_refused(
    extractor: FeatureExtractor, task: datasets.Dataset, table: datasets.Dataset, tiny_backbone: str, tiny_sae: str
) -> None:
    known = table["feature_id"][0]
    with pytest.raises(OptionError, match="no candidate"):
        ablation_relevance(table, task, extractor)
    with pytest.raises(OptionError, match="5000"):
        ablation_relevance(table, task, extractor, features=[5000])
    with pytest.raises(OptionError, match="same token"):
        question = Question("So?", "label", "yes", yes="No", no="No")
        ablation_relevance(table, task, extractor, features=[known], question=question)
    with pytest.raises(ColumnError, match="'harm'"):
        question = Question("So?", "harm", "yes", yes="Dogs", no="The")
        ablation_relevance(table, task, extractor, features=[known], question=question)
    with pytest.raises(DatasetError, match="no tokens"):
        ablation_relevance(table, datasets.Dataset.from_dict({"text": ["", " "]}), extractor, features=[known])
    raw = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, render="raw")
    with pytest.raises(FeatureSpaceMismatch):
        ablation_relevance(table, task, raw, features=[known])


# --- the task's coverage ---------------------------------------------------------------------------------------------


def test_relevant_features_give_the_coverage_of_the_task(task: datasets.Dataset, table: datasets.Dataset) -> None:
    judged = contrast_relevance(table, task.select([0] * 15), task.select([1] * 15))
    chosen = relevant_features(judged)
    report = coverage(task.select([2]), task, threshold=0, features=chosen)
    assert set(report.relevant) == set(chosen)
    assert set(chosen) <= set(task["feature_ids"][0])
