"""NovelSum has the value that its authors' code gives."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.diversity import novelsum
from fac_datasets.errors import OptionError

# Made with compute_cos_distance, local_density and novelsum of github.com/UmeanNever/NovelSum (novelsum.py at 6ef6611,
# utils.py at 40ce9f1; January's values with novelsum.py at 73da271), unchanged but for a faiss index on the CPU. Their
# cosines are float32; each of these vectors has 16 numbers of one size, a power of two, so that they are exact.
SIGNS = (
    "++---++-----+-++ -+--+--+--++++-- ++++--+---+--+-- ++-+--+---++--++ +++--+-+-++-++-- +++++-++--+---+- "
    "-+-+++--++---+++ +---+---+-+-+--+ -++--+-++-+-+-++ ++++-+-++----+-- --+----+++--+--+ +---++---+++++-- "
    "-+-++-++++---++- -+++-++----+-+-- -+++--++-------- ++---+-+-+--+-+- +-+-------++--++ -+++-+-+-++-++-- "
    "-++-+++-++----+- ---+-+-++-+++-+- ++---++-----+-++ -+--+--+--++++-- ++++--+---+--+-- ++-+--+---++--++"
)
SIZES = [0.5, 0.25, 0.5, 4, 2, 1, 2, 1, 0.25, 0.25, 4, 0.25, 2, 4, 0.5, 4, 4, 2, 2, 2, 2, 4, 2, 2]
VECTORS = np.array(
    [[size if sign == "+" else -size for sign in row] for row, size in zip(SIGNS.split(), SIZES, strict=True)]
)


@pytest.mark.parametrize(
    ("distance_power", "theirs", "in_january_2026"),
    [
        (0, 0.9440104166666666, 0.9850543478260869),
        (1, 0.5751082174200813, 0.7187028256556517),
        (2, 0.22106251630945994, 0.48883347015265666),
    ],
)
def test_the_value_is_that_of_the_authors_code(distance_power: float, theirs: float, in_january_2026: float) -> None:
    values = novelsum(VECTORS, distance_power=distance_power)
    assert values["novelsum"] == pytest.approx(theirs, abs=1e-9)
    without = novelsum(VECTORS, distance_power=distance_power, include_self=False)
    assert without["novelsum"] == pytest.approx(in_january_2026, abs=1e-9)


def test_the_default_weighs_by_one_over_the_rank_as_theirs_does() -> None:
    assert novelsum(VECTORS)["novelsum"] == pytest.approx(0.5751082174200813, abs=1e-9)


@pytest.mark.parametrize(("density_power", "theirs"), [(0.5, 0.4825878643433799), (1, 0.38706508901314607)])
def test_the_density_of_different_unit_vectors_is_that_of_the_authors_code(density_power: float, theirs: float) -> None:
    # Theirs is computed in float32.
    values = novelsum(VECTORS[:20], density_power=density_power, neighbors=8)
    assert values["novelsum"] == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("include_self", [True, False])
def test_a_single_row_has_no_novelty(include_self: bool) -> None:
    assert novelsum([[1.0, 2.0]], include_self=include_self)["novelsum"] == 0


def test_a_power_that_leaves_the_range_of_numbers_is_an_error() -> None:
    with pytest.raises(OptionError, match="choose a smaller one"):
        novelsum([[1.0, 0.0], [1.0, 0.01]], density_power=200)
