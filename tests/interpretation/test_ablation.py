"""Effects of ablation, compared with the spelled-out definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import scipy.stats
import torch
import transformers

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
from fac_datasets.sae.splicing import SplicedModel

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


def test_relevant_features_give_the_coverage_of_the_task(task: datasets.Dataset, table: datasets.Dataset) -> None:
    judged = contrast_relevance(table, task.select([0] * 15), task.select([1] * 15))
    chosen = relevant_features(judged)
    report = coverage(task.select([2]), task, threshold=0, features=chosen)
    assert set(report.relevant) == set(chosen)
    assert set(chosen) <= set(task["feature_ids"][0])
