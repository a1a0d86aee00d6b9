"""Lazy greedy chooses what greedy chooses that looks at every row each time."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets.coverage.greedy import Floor, Greedy, Pool, Wanted, offsets_of

N_FEATURES = 9


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.lists(st.lists(st.integers(0, N_FEATURES - 1), unique=True, max_size=6), min_size=1, max_size=12))
    # More blocks of bounds than one.
    rows = rows * draw(st.sampled_from([1, 1, 20]))
    number = st.integers(0, 4)
    return {
        "rows": rows,
        "weights": draw(st.lists(number, min_size=N_FEATURES, max_size=N_FEATURES).filter(any)),
        "per_feature": draw(st.integers(1, 3)),
        "had": draw(st.lists(number, min_size=N_FEATURES, max_size=N_FEATURES)),
        "quality": draw(st.none() | st.lists(number, min_size=len(rows), max_size=len(rows))),
        "costs": draw(st.none() | st.lists(st.integers(1, 7), min_size=len(rows), max_size=len(rows))),
        "size": draw(st.none() | st.integers(1, 8)),
        "budget": draw(st.integers(1, 30)),
        "target": draw(st.none() | st.sampled_from([0.25, 0.5, 1.0])),
        "per_token": draw(st.booleans()),
    }


def wanted_of(case: dict[str, Any]) -> Wanted:
    weights = np.array(case["weights"], dtype=np.float64)
    return Wanted(np.arange(N_FEATURES), weights, case["per_feature"], np.array(case["had"]))


def pool_of(case: dict[str, Any]) -> Pool:
    lengths = np.array([len(row) for row in case["rows"]], dtype=np.int64)
    flat = np.array([feature for row in case["rows"] for feature in row], dtype=np.int32)
    quality = None if case["quality"] is None else np.array(case["quality"], dtype=np.float64)
    costs = None if case["costs"] is None else np.array(case["costs"])
    return Pool(np.arange(len(lengths)), offsets_of(lengths), flat, quality, costs)


def greedy_of(case: dict[str, Any]) -> Greedy:
    budget = None if case["costs"] is None else case["budget"]
    return Greedy(wanted_of(case), size=case["size"], tokens=budget, target=case["target"], per_token=case["per_token"])


def naive(case: dict[str, Any]) -> tuple[list[int], list[float], str]:
    """Rows, gains and why it ends, by looking at every row each time."""
    k, weights = case["per_feature"], case["weights"]
    had = [min(count, k) for count in case["had"]]
    chosen: list[int] = []
    gains: list[float] = []
    left = case["budget"] if case["costs"] else math.inf
    while True:
        if case["target"] is not None:
            share = sum(weights[i] * had[i] for i in range(N_FEATURES)) / (k * sum(weights))
            if share >= case["target"]:
                return chosen, gains, "target"
        if case["size"] is not None and len(chosen) >= case["size"]:
            return chosen, gains, "size"
        best, best_priority, best_gain, is_long = None, 0.0, 0.0, False
        for row, features in enumerate(case["rows"]):
            if row in chosen:
                continue
            gain = sum(weights[i] for i in features if had[i] < k) * (case["quality"][row] if case["quality"] else 1)
            cost = case["costs"][row] if case["costs"] else 0
            priority = gain / cost if case["costs"] and case["per_token"] else gain
            if cost > left:
                is_long |= gain > 0
            elif priority > best_priority:
                best, best_priority, best_gain = row, priority, gain
        if best is None:
            return chosen, gains, "tokens" if is_long else "exhausted"
        chosen.append(best)
        gains.append(best_gain)
        left -= case["costs"][best] if case["costs"] else 0
        for i in case["rows"][best]:
            had[i] = min(had[i] + 1, k)


@settings(max_examples=300)
@given(cases())
def test_it_is_greedy_row_by_row(case: dict[str, Any]) -> None:
    greedy = greedy_of(case)
    greedy.extend(pool_of(case))
    assert (greedy.rows, greedy.gains, greedy.stopped) == naive(case)


@settings(max_examples=200)
@given(cases(), st.integers(1, 5))
def test_parts_of_the_rows_suffice_where_the_best_of_the_others_is_known(case: dict[str, Any], n_kept: int) -> None:
    greedy, pool = greedy_of(case), pool_of(case)
    while greedy.stopped is None:
        n_chosen = len(greedy.rows)
        priorities = greedy.of(pool)
        order = np.lexsort((pool.rows, -priorities))
        keep = np.isin(pool.rows, order[:n_kept])
        out = order[n_kept] if n_kept < len(order) else None
        floor = Floor() if out is None or priorities[out] <= 0 else Floor(priorities[out], int(out))
        greedy.extend(pool.kept(keep), floor)
        assert len(greedy.rows) > n_chosen or greedy.stopped
    assert (greedy.rows, greedy.gains, greedy.stopped) == naive(case)


def value(case: dict[str, Any], rows: Any) -> int:
    """What rows cover, with what is had."""
    k = case["per_feature"]
    had = [min(count + sum(i in case["rows"][row] for row in rows), k) for i, count in enumerate(case["had"])]
    return sum(weight * count for weight, count in zip(case["weights"], had, strict=True))


small = cases().filter(lambda case: len(case["rows"]) <= 12).map(lambda case: {**case, "quality": None})


@given(small, st.integers(1, 4))
def test_with_a_size_it_covers_at_least_1_minus_1_over_e_of_the_most(case: dict[str, Any], size: int) -> None:
    case = {**case, "costs": None, "target": None, "size": size}
    greedy = greedy_of(case)
    greedy.extend(pool_of(case))
    n_rows = len(case["rows"])
    best = max(value(case, rows) for rows in combinations(range(n_rows), min(size, n_rows)))
    base = value(case, [])
    assert value(case, greedy.rows) - base >= (1 - 1 / math.e) * (best - base) - 1e-9


@settings(max_examples=50)
@given(small)
def test_the_better_of_two_ways_covers_half_of_that_within_a_budget(case: dict[str, Any]) -> None:
    case = {**case, "costs": case["costs"] or [1] * len(case["rows"]), "target": None, "size": None}
    ways = [greedy_of({**case, "per_token": per_token}) for per_token in (False, True)]
    for way in ways:
        way.extend(pool_of(case))
        assert sum(case["costs"][row] for row in way.rows) <= case["budget"]
    n_rows = len(case["rows"])
    affordable = (
        rows
        for size in range(n_rows + 1)
        for rows in combinations(range(n_rows), size)
        if sum(case["costs"][row] for row in rows) <= case["budget"]
    )
    base = value(case, [])
    best = max(value(case, rows) - base for rows in affordable)
    assert max(value(case, way.rows) - base for way in ways) >= (1 - 1 / math.e) / 2 * best - 1e-9


@settings(max_examples=50)
@given(small, st.sampled_from([0.3, 0.6, 1.0]))
def test_a_target_takes_at_most_1_plus_ln_n_times_the_fewest_rows(case: dict[str, Any], target: float) -> None:
    case = {**case, "costs": None, "target": target, "size": None, "weights": [1] * N_FEATURES}
    greedy = greedy_of(case)
    greedy.extend(pool_of(case))
    if greedy.stopped != "target":
        return
    n_wanted = N_FEATURES * case["per_feature"]
    fewest = next(
        size
        for size in range(len(case["rows"]) + 1)
        if any(value(case, rows) / n_wanted >= target for rows in combinations(range(len(case["rows"])), size))
    )
    assert len(greedy.rows) <= (1 + math.log(n_wanted)) * fewest


def test_weights_that_are_not_whole_give_exact_ties() -> None:
    # 0.1 + 0.2 is not 0.3 in floating point, but the lower row has to win.
    wanted = Wanted(np.arange(3), np.array([0.3, 0.1, 0.2]), 1, np.zeros(3, np.int64))
    pool = Pool(np.arange(2), np.array([0, 1, 3]), np.array([0, 1, 2], np.int32))
    greedy = Greedy(wanted, size=1)
    greedy.extend(pool)
    assert greedy.rows == [0]
    assert math.isclose(greedy.gains[0], 0.3, rel_tol=1e-8)
