"""A plan aims at the features of the anchor rows that bring most, and at none twice."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.coverage.active_rows import ActiveRows, distinct_pairs
from fac_datasets.synthesis.plan import Aim, plan
from tests.coverage.cases import D_SAE, rows_of_ids

MISSING = list(range(D_SAE))


def active(rows: list[list[int]]) -> ActiveRows:
    lengths = [len(row) for row in rows]
    ids = np.array([feature for row in rows for feature in row], dtype=np.int64)
    return distinct_pairs(np.repeat(np.arange(len(rows)), lengths), ids, len(rows))


def rows_with(rows: list[list[int]], feature: int) -> set[int]:
    return {number for number, row in enumerate(rows) if feature in row}


def jaccard(rows: list[list[int]], first: int, second: int) -> float:
    with_first, with_second = rows_with(rows, first), rows_with(rows, second)
    return len(with_first & with_second) / len(with_first | with_second)


def clusters(rows: list[list[int]]) -> dict[int, int]:
    """The cluster of each feature as the definition says it."""
    present = {feature for row in rows for feature in row}
    leader: dict[int, int] = {}
    for feature in sorted(present, key=lambda feature: (-len(rows_with(rows, feature)), feature)):
        if feature not in leader:
            leader |= {other: feature for other in present - {*leader} if jaccard(rows, feature, other) >= 0.5}
    return leader


def brought(rows: list[list[int]], aims: list[Aim]) -> set[int]:
    """The features that samples in the manner of the rows of some aims bring."""
    return {feature for aim in aims if aim.row is not None for feature in rows[aim.row]}


@given(rows_of_ids)
def test_every_missing_feature_is_aimed_at_once_alone_or_together(rows: list[list[int]]) -> None:
    aims = plan(active(rows), MISSING)
    aimed_at = [feature for aim in aims for feature in (aim.feature, *aim.together)]
    assert sorted(aimed_at) == sorted({feature for row in rows for feature in row})


@given(rows_of_ids, st.sets(st.integers(0, D_SAE - 1)))
def test_nothing_else_than_missing_features_is_aimed_at(rows: list[list[int]], missing: set[int]) -> None:
    for aim in plan(active(rows), sorted(missing)):
        assert {aim.feature, *aim.together} <= missing


@given(rows_of_ids)
def test_a_row_activates_the_feature_that_is_aimed_at_in_its_manner(rows: list[list[int]]) -> None:
    for aim in plan(active(rows), MISSING):
        assert aim.row is not None
        assert aim.feature in rows[aim.row]


@given(rows_of_ids)
def test_features_of_one_target_occur_together(rows: list[list[int]]) -> None:
    aims = plan(active(rows), MISSING)
    for aim in aims:
        assert all(jaccard(rows, aim.feature, other) >= 0.5 for other in aim.together)
    for number, aim in enumerate(aims):
        assert all(jaccard(rows, aim.feature, later.feature) < 0.5 for later in aims[number + 1 :])


@given(rows_of_ids, st.integers(1, 30))
def test_no_cluster_has_more_than_a_tenth_of_the_targets_but_one(rows: list[list[int]], most: int) -> None:
    aims = plan(active(rows), MISSING, most=most)
    of_cluster = Counter(clusters(rows)[aim.feature] for aim in aims)
    assert len(aims) <= most
    assert max(of_cluster.values(), default=0) <= max(1, most // 10)


@given(rows_of_ids, st.lists(st.integers(0, 3), min_size=D_SAE, max_size=D_SAE))
def test_lower_ranks_are_aimed_at_first(rows: list[list[int]], ranks: list[int]) -> None:
    found = [ranks[aim.feature] for aim in plan(active(rows), MISSING, ranks=ranks)]
    assert found == sorted(found)


@given(rows_of_ids)
def test_the_first_row_brings_most_and_each_next_one_most_of_the_rest(rows: list[list[int]]) -> None:
    known: set[int] = set()
    for aim in plan(active(rows), MISSING):
        assert aim.row is not None
        most = max(len({*row} - known) for row in rows)
        if not most:
            break
        assert len({*rows[aim.row]} - known) == most
        known |= {*rows[aim.row], *aim.together}


@given(rows_of_ids, st.permutations(MISSING))
def test_the_order_of_the_missing_features_makes_no_difference(rows: list[list[int]], order: list[int]) -> None:
    assert plan(active(rows), order) == plan(active(rows), MISSING)


def test_equal_features_and_equal_rows_go_by_their_numbers() -> None:
    rows = [[7, 3], [9, 5], [3, 7], [5, 9], [3], [5], [7], [9]]
    assert [(aim.feature, aim.row) for aim in plan(active(rows), [9, 7, 5, 3], most=10)] == [(3, 0), (5, 1)]


def test_two_planned_targets_bring_what_four_by_anchor_rows_do() -> None:
    rows = [[0, 1, 2], [0, 1], [0, 2], [1, 2], [4, 5, 6], [0], [1], [2]]
    everything = {0, 1, 2, 4, 5, 6}
    planned = plan(active(rows), sorted(everything), most=20)[:2]
    assert brought(rows, planned) == everything
    by_anchor_rows = sorted(everything, key=lambda feature: (-len(rows_with(rows, feature)), feature))
    # Each of them at its best: in the manner of the longest row that has the feature.
    best = [Aim(f, row=max(rows_with(rows, f), key=lambda row: len(rows[row]))) for f in by_anchor_rows]
    assert brought(rows, best[:3]) < everything
    assert brought(rows, best[:4]) == everything


def test_a_row_counts_for_the_part_that_a_sample_can_bring() -> None:
    rows = [[0, 1, 2, 3], [4, 5, 6]]
    assert plan(active(rows), range(7))[0].row == 0
    assert plan(active(rows), range(7), weights=np.array([0.5, 1.0]))[0].row == 1


def test_features_of_other_ranks_decide_between_equal_rows() -> None:
    rows = [[0, 2], [0, 2, 3], [0], [0], [0]]
    assert plan(active(rows), [0, 2, 3], ranks=[0, 1, 1])[0] == Aim(0, (), 1)


def test_what_no_anchor_row_activates_cannot_be_planned() -> None:
    assert plan(active([[1]]), [1, 2, 40]) == [Aim(1, (), 0)]
    assert plan(active([[]]), [1]) == []
    assert plan(active([[1]]), []) == []


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_planned_in_seconds() -> None:
    rng = np.random.default_rng(0)
    n_rows, chances = 100_000, 1 / np.arange(1, 8_001) ** 0.9
    ids = np.sort(rng.permutation(8_000)[rng.choice(8_000, size=(n_rows, 70), p=chances / chances.sum())], axis=1)
    is_first = np.diff(ids, axis=1, prepend=-1) > 0
    anchor = ActiveRows(np.repeat(np.arange(n_rows), is_first.sum(axis=1)), ids[is_first], n_rows)
    assert len(anchor.ids) > 55 * n_rows
    start = time.perf_counter()
    assert len(plan(anchor, np.arange(0, 8_000, 2), most=1_000)) > 900
    assert time.perf_counter() - start < 60
