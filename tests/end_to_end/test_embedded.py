"""The embedded backbone and SAE: what they state, and the main job on real conversations."""

from __future__ import annotations

import json
import time
from pathlib import Path

import datasets
import numpy as np
import pytest

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder, coverage, evaluate_sae
from fac_datasets.pipeline import Settings, run
from fac_datasets.rows.conversations import SEED_TOPICS, seed_and_anchor
from fac_datasets.sae.calibration import Calibration
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER
from tests.comparing import assert_same_features, dense_features, features_of

pytestmark = pytest.mark.embedded

REAL = [
    "The committee will meet on Thursday to discuss the budget for the new hospital.",
    "def mean(values):\n    return sum(values) / len(values)",
    "Can you recommend a good book about the history of Japan?",
    "Add two cups of flour, a pinch of salt and stir until smooth. 🙂",
]


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor(threshold=0)


def test_the_sae_states_where_it_comes_from_and_fits_in_20_mb() -> None:
    config = SparseAutoencoder.from_pretrained("embedded").config
    backbone = Backbone("embedded", config.layer)
    assert config.backbone_digest == backbone.info.digest
    assert 4096 <= config.d_sae <= 8192
    for key in ("corpus", "tokens", "fvu", "l0", "dead_share"):
        assert key in config.training
    assert config.training["tokens"] >= 500_000
    assert config.training["dead_share"] <= 0.02
    size = sum(path.stat().st_size for path in EMBEDDED_SAE_FOLDER.rglob("*") if path.is_file())
    assert size <= 20_000_000


def test_the_report_beside_the_sae_is_its_own_and_meets_what_was_asked() -> None:
    report = json.loads((EMBEDDED_SAE_FOLDER / "report.json").read_text())
    assert report["sae_digest"] == find_sae("embedded").digest
    assert report["backbone_digest"] == find_sae("embedded").config.backbone_digest
    assert report["fvu"] <= 0.20
    assert report["dead_share"] <= 0.02
    assert report["loss_recovered"] >= 0.95
    assert set(report["kinds"]) == {"chat", "instructions", "questions", "encyclopedia", "news", "code", "requests"}
    for kind in report["kinds"].values():
        assert kind["fvu"] <= 0.28
        assert kind["loss_recovered"] >= 0.92


def test_the_report_shows_spans_of_fifty_features_and_a_random_sae_beside_them() -> None:
    evidence = json.loads((EMBEDDED_SAE_FOLDER / "report.json").read_text())["interpretability"]
    assert len(evidence["spans"]) == len(evidence["auroc"]["trained"]["features"]) == 50
    assert len(evidence["auroc"]["random"]["features"]) == 50
    assert all(span["text"].endswith(span["token"]) for spans in evidence["spans"].values() for span in spans)


def test_the_card_quotes_the_report_and_the_command() -> None:
    card = (EMBEDDED_SAE_FOLDER / "README.md").read_text()
    report = json.loads((EMBEDDED_SAE_FOLDER / "report.json").read_text())
    assert f"| all | {report['tokens']:,} | {report['fvu']:.3f} | {report['loss_recovered']:.3f} |" in card
    assert "fac-datasets sae train" in card
    assert "--seed 0" in card


def test_the_measures_of_the_report_are_found_again(extractor: FeatureExtractor) -> None:
    report = evaluate_sae("embedded", "embedded", datasets.Dataset.from_dict({"text": REAL}), renders=["chat"])
    assert report["fvu"] < 0.25
    assert report["loss_recovered"] > 0.95
    assert report["l0"] == pytest.approx(32, abs=0.5)


def test_the_calibrations_belong_to_the_sae() -> None:
    files = sorted((EMBEDDED_SAE_FOLDER / "calibration").iterdir())
    calibrations = [Calibration.load(path) for path in files]
    assert {(c.render, c.activation) for c in calibrations} == {
        (render, activation) for render in ("chat", "raw") for activation in ("sae", "relu")
    }
    assert {c.sae_digest for c in calibrations} == {find_sae(EMBEDDED_SAE_FOLDER).digest}


@pytest.mark.alone
def test_the_converted_backbone_loads_without_converting_again(extractor: FeatureExtractor) -> None:
    start = time.perf_counter()
    Backbone("embedded", extractor.feature_space.layer)
    # Under a second where nothing else runs; the conversion it guards against takes half a minute.
    assert time.perf_counter() - start < 5


def test_features_equal_the_dense_definition(extractor: FeatureExtractor) -> None:
    assert_same_features(features_of(extractor.extract(REAL)), [dense_features(extractor, text) for text in REAL])


def test_bfloat16_changes_few_features_and_hardly_the_coverage() -> None:
    seed, anchor = (
        rows.select(range(0, len(rows), step)) for rows, step in zip(seed_and_anchor(), (2, 16), strict=True)
    )
    found = {}
    for dtype in ("float32", "bfloat16"):
        extractor = FeatureExtractor(dtype=dtype)
        found[dtype] = [rows.map(extractor, batched=True) for rows in (seed, anchor)]
    for exact, rounded in zip(found["float32"], found["bfloat16"], strict=True):
        pairs = [(set(a), set(b)) for a, b in zip(exact["feature_ids"], rounded["feature_ids"], strict=True)]
        jaccard = [len(a & b) / len(a | b) for a, b in pairs]
        assert np.mean(jaccard) > 0.95
        assert min(jaccard) > 0.9
    for threshold in ("q50", "q90", "q99"):
        exact_fac, rounded_fac = (coverage(*found[dtype], threshold=threshold).fac for dtype in found)
        assert rounded_fac == pytest.approx(exact_fac, abs=0.01)


def test_peaks_stand_where_a_feature_s_text_is(extractor: FeatureExtractor) -> None:
    """Of two texts that share one sentence, the features that peak in it do so at the same words."""
    shared = "The committee will meet on Thursday."
    columns = extractor.extract([shared, f"{shared} Bring bread."])
    first, second = (
        dict(zip(columns["feature_ids"][i].tolist(), columns["feature_starts"][i].tolist(), strict=True))
        for i in (0, 1)
    )
    same = [first[i] == second[i] for i in first if second.get(i, len(shared)) < len(shared)]
    # Causal attention: what follows cannot change a token before it.
    assert len(same) > 50
    assert all(same)


def test_no_anchor_row_of_the_demo_stands_in_its_seed() -> None:
    seed, anchor = seed_and_anchor()
    assert set(seed["topic"]) == set(SEED_TOPICS)
    assert len(set(anchor["topic"])) >= 20
    assert not set(seed["text"]) & set(anchor["text"])


def test_the_main_job_covers_missing_features_of_real_conversations(tmp_path: Path) -> None:
    seed, anchor = seed_and_anchor()
    settings = Settings(max_features=8, max_new_tokens=48)
    small = anchor.shuffle(seed=0).select(range(60))
    report = run(seed.select(range(20)), small, tmp_path / "out", settings, say=lambda _line: None)
    assert len(report["targets"]["covered"]) >= 4
    assert report["gain"]["guided"]["A1"] > 0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    rows = datasets.load_dataset(str(tmp_path / "out"), split="synthetic", cache_dir=str(tmp_path))
    claims = datasets.load_dataset(str(tmp_path / "out"), "provenance", split="train", cache_dir=str(tmp_path))
    fresh = FeatureExtractor(threshold=settings.threshold).extract(rows["text"])["feature_ids"]
    assert all(feature in ids for feature, ids in zip(claims["target_feature"], fresh, strict=True))


def test_a_seed_covers_more_of_its_own_topic(extractor: FeatureExtractor) -> None:
    cooking = ["Boil the rice for ten minutes.", "Add salt and pepper to the soup.", "Bake the bread until golden."]
    related = ["Fry the onions in butter and add the rice.", "Season the soup with pepper."]
    unrelated = ["Import the module and call the function.", "The array index is out of range."]
    q50 = FeatureExtractor()
    tables = [
        datasets.Dataset.from_dict({"text": texts}).map(q50, batched=True) for texts in (cooking, related, unrelated)
    ]
    scores = [coverage(tables[0], anchor).fac for anchor in tables[1:]]
    assert scores[0] > scores[1]
    assert np.isfinite(scores).all()
