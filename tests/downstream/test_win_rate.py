"""Win rates, by hand and as AlpacaEval 2 published them."""

from __future__ import annotations

import logging
import math
import os

import numpy as np
import pytest

from fac_datasets.downstream.win_rate import WinRate, alpaca_preferences, win_rates
from fac_datasets.errors import DatasetError

needs_data = pytest.mark.skipif(
    "FAC_DATASETS_DATA" not in os.environ, reason="needs published preferences (FAC_DATASETS_DATA)"
)


def of_published(model: str) -> WinRate:
    from tests.benchmarks.data import ALPACA_PREFERENCES

    rows = [row for row in ALPACA_PREFERENCES.rows() if row["model"] == model]
    return win_rates(
        alpaca_preferences([row["preference"] for row in rows]),
        [row["model_characters"] for row in rows],
        [row["baseline_characters"] for row in rows],
    )


@needs_data
@pytest.mark.parametrize(("model", "published"), [("alpaca-7b", 2.591), ("FuseChat-Llama-3.2-1B-Instruct", 29.922)])
def test_raw_rates_are_the_published_ones(model: str, published: float) -> None:
    assert of_published(model).raw == pytest.approx(published, abs=1e-3)


@needs_data
def test_a_length_controlled_rate_is_near_the_published_one() -> None:
    rate = of_published("FuseChat-Llama-3.2-1B-Instruct")
    assert rate.length_controlled == pytest.approx(25.271, abs=1.5)
    assert rate.warning == ""


@needs_data
def test_a_rate_of_far_shorter_answers_extrapolates_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rate = of_published("alpaca-7b")
    assert rate.length_controlled == pytest.approx(19.5, abs=0.5)
    assert rate.extrapolates
    assert "only 2.7% of them at least as long" in caplog.text


def test_a_raw_rate_is_the_mean_preference_and_a_tie_is_a_half() -> None:
    rate = win_rates([1, 0, 0.5, 0.25], [4, 3, 2, 1], [3, 3, 3, 3])
    assert rate.raw == 43.75
    assert rate.standard_error == pytest.approx(100 * math.sqrt(0.5468750 / 3) / 2)


def test_lengths_are_controlled_as_the_fit_by_hand_says() -> None:
    # Longer answers win 9 in 10 and as much shorter ones 1 in 2: half way between log 9 and log 1 lies log 3.
    rate = win_rates([0.9, 0.9, 0.5, 0.5], [30, 40, 10, 20], [20, 30, 20, 30])
    assert rate.length_controlled == pytest.approx(75)


def test_a_judge_that_only_likes_length_says_nothing_at_equal_lengths() -> None:
    rate = win_rates([0.8, 0.2, 0.8, 0.8], [30, 10, 30, 30], [20, 20, 20, 20])
    assert rate.raw == pytest.approx(65)
    assert rate.length_controlled == pytest.approx(50)


def test_where_lengths_never_differ_control_changes_nothing() -> None:
    rate = win_rates([1, 0, 0, 0.5], [5, 6, 7, 8], [5, 6, 7, 8])
    assert rate.length_controlled == pytest.approx(rate.raw)
    assert not rate.extrapolates


def test_the_fit_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    draws = np.random.default_rng(0)
    lengths = draws.integers(1, 100, (2, 200))
    difference = lengths[0] - lengths[1]
    wins = draws.random(200) < 1 / (1 + np.exp(-0.02 * difference + 1))
    x = np.tanh(difference / difference.std(ddof=1))[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(x, wins)
    expected = 100 * model.predict_proba([[0.0]])[0, 1]
    assert win_rates(wins, *lengths).length_controlled == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("preferences", [[1, 1, 1, 1], [1, 1, 0, 0]])
def test_preferences_without_a_finite_fit_have_no_controlled_rate(preferences: list[float]) -> None:
    rate = win_rates(preferences, [3, 4, 1, 1], [2, 2, 2, 2])
    assert rate.length_controlled is None
    assert "no maximum" in rate.warning


def test_pairs_without_a_preference_are_left_out_and_counted() -> None:
    rate = win_rates([1, math.nan, 0], [1, 2, 2], [2, 1, 1])
    assert (rate.raw, rate.pairs, rate.left_out) == (50, 2, 1)


def test_preferences_of_the_wrong_scale_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"1\.9 is not between 0 and 1"):
        win_rates([1.9, 0.5], [1, 2], [1, 2])
    with pytest.raises(DatasetError, match=r"0\.3 is neither 0"):
        alpaca_preferences([1, 0.3])


def test_without_any_preference_there_is_no_rate() -> None:
    with pytest.raises(DatasetError, match="none of 1 pairs"):
        win_rates([math.nan], [1], [1])


def test_as_many_lengths_as_preferences_are_needed() -> None:
    with pytest.raises(DatasetError, match="2 preferences do not go with 1 lengths"):
        win_rates([1, 0], [1], [1, 2])
