"""NovelSum, compared with its definition row by row."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets import diversity
from tests.diversity.cases import vectors


@pytest.mark.parametrize(("density_power", "distance_power", "neighbors"), [(0, 1, 10), (0.5, 2, 3), (1.0, 0.0, 2)])
def test_novelsum_is_the_definition_row_by_row(density_power: float, distance_power: float, neighbors: int) -> None:
    rows = np.concatenate([vectors(300, 6), vectors(300, 6)[:5]]).astype(np.float64)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    total = 0.0
    for i, unit in enumerate(units):
        distances = sorted(1 - units[j] @ unit for j in range(len(units)) if j != i)
        squared = [2 * distance for distance in distances if distance > 1e-9][:neighbors]
        weights = [1 / rank**distance_power for rank in range(1, len(units))]
        total += np.average(distances, weights=weights) / np.mean(squared) ** density_power
    values = diversity.novelsum(
        rows, include_self=False, neighbors=neighbors, density_power=density_power, distance_power=distance_power
    )
    assert values["novelsum"] == pytest.approx(total / len(units), rel=1e-5)


def test_a_density_is_that_of_equal_rows_whatever_their_rounding() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 20))
    copies = np.concatenate([rows, np.repeat(rows, 20, axis=0)])
    scaled = copies * np.random.default_rng(1).uniform(0.5, 2, (len(copies), 1))
    exact, rounded = (diversity.novelsum(data, density_power=0.5)["novelsum"] for data in (copies, scaled))
    assert rounded == pytest.approx(exact, rel=1e-6)


def test_novelsum_of_equal_rows_is_0() -> None:
    assert diversity.novelsum([[1.0, 2.0]] * 4, density_power=0.5)["novelsum"] == pytest.approx(0, abs=1e-9)
