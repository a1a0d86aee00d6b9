"""The Vendi score, compared with the entropy of the whole kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.diversity import spectral_entropy
from tests.diversity.cases import vectors


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_vendi_score_is_the_entropy_of_the_whole_kernel(n: int, d: int) -> None:
    rows = vectors(n, d).astype(np.float64)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(units @ units.T / n)
    expected = math.exp(-sum(x * math.log(x) for x in eigenvalues if x > 1e-12))
    values = diversity.vendi_score(rows)
    assert values["vendi_score"] == pytest.approx(expected, rel=1e-5)
    assert values["vendi_score_error"] == 0
    assert 1 <= values["vendi_score"] <= n
    assert diversity.vendi_score(np.concatenate([rows, rows]))["vendi_score"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_an_estimated_vendi_score_lies_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    # Features as real ones are: some in most rows, most in few.
    rows = [np.unique(generator.zipf(1.4, size=60) % 700).tolist() for _ in range(900)]
    exact = diversity.vendi_score(rows, kernel="features")["vendi_score"]
    monkeypatch.setattr(spectral_entropy, "EXACT_SIZE", 100)
    for seed in range(3):
        estimated = diversity.vendi_score(rows, kernel="features", seed=seed)
        assert 0 < estimated["vendi_score_error"] < 0.01 * exact
        assert abs(estimated["vendi_score"] - exact) < 4 * estimated["vendi_score_error"]
