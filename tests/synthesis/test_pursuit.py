"""Of a target it is known what was tried and what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fac_datasets.synthesis.pursuit import Pursuit, Try
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.targets import Target


def pursuit(*activations: float) -> Pursuit:
    sample = Sample({"text": "Pears are ripe."})
    tries = [Try(Sample({"text": f"try {place}"}), value, "text", 0, 3) for place, value in enumerate(activations)]
    return Pursuit(Target(3, "fruit", 1.0, ()), sample, (sample,), ("ripe",), tries)


def test_the_contrastive_pair_is_what_was_measured() -> None:
    pair = pursuit(0.5, 0.0, 0.9).contrastive_pair
    assert pair is not None
    assert [one.activation for one in pair] == [0.9, 0.0]


@pytest.mark.parametrize("activations", [[], [0.9], [0.0, 0.0], [0.5, 0.5]])
def test_no_pair_is_invented_where_activations_do_not_differ(activations: list[float]) -> None:
    assert pursuit(*activations).contrastive_pair is None


def test_a_real_row_is_the_strong_example_only_where_no_try_is_active() -> None:
    real = Try(Sample({"text": "Figs are ripe."}), 3.0, "text", 0, 4)
    for activations, expected in (((0.0, 0.0), (3.0, 0.0)), ((0.0, 0.4), (0.4, 0.0))):
        pair = replace(pursuit(*activations), real=real).contrastive_pair
        assert pair is not None and tuple(one.activation for one in pair) == expected
    assert replace(pursuit(), real=real).contrastive_pair is None


def test_a_try_in_which_the_feature_is_silent_is_not_the_strongest() -> None:
    assert pursuit(0.0).strongest is None
    strongest = pursuit(0.1, 0.3).strongest
    assert strongest is not None and strongest.activation == 0.3


def test_attempts_are_counted_by_way_and_numbered_across_them() -> None:
    one = pursuit()
    assert [one.begin("prompted"), one.begin("edited"), one.begin("prompted")] == [1, 2, 3]
    one.miss("prompted")
    assert one.attempts == {"prompted": 2, "edited": 1}
    assert one.misses == {"prompted": 1}
