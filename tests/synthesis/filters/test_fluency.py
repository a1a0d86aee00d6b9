"""Samples that the model finds unlikely are rejected, and whole batches are judged at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fac_datasets.backbone.likelihood import Likelihood
from fac_datasets.errors import OptionError
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands
from fac_datasets.synthesis.filters.fluency import highest_nll


class CountingNLL:
    """Finds each word of more than six letters a nat less likely, and keeps what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.batches.append(list(texts))
        return np.array([float(sum(len(word) > 6 for word in text.split())) for text in texts])


FLUENT, STRANGE = "We went for a walk by the sea.", "Perambulation adjacently oceanwards occurring hitherto."


def test_what_exceeds_the_limit_is_rejected() -> None:
    filters = Filters([], Demands(nll=CountingNLL(), highest_nll=2.0))
    assert filters.reject(FLUENT) is None
    assert filters.reject(STRANGE) == "not fluent"


def test_the_limit_itself_passes() -> None:
    assert Filters([], Demands(nll=CountingNLL(), highest_nll=5.0)).reject(STRANGE) is None


def test_a_text_without_likelihood_is_not_fluent() -> None:
    demands = Demands(nll=lambda texts: np.full(len(texts), np.nan), highest_nll=2.0)
    assert Filters([], demands).reject(FLUENT) == "not fluent"


@pytest.mark.parametrize("demands", [Demands(), Demands(nll=CountingNLL()), Demands(highest_nll=0.0)])
def test_without_likelihood_or_limit_nothing_is_judged(demands: Demands) -> None:
    assert "not fluent" not in Filters([], demands).reasons


def test_a_batch_is_judged_at_once_and_only_what_the_cheap_filters_pass() -> None:
    nll = CountingNLL()
    filters = Filters(["The cat sat on the mat."], Demands(nll=nll, highest_nll=2.0))
    texts = [FLUENT, "The cat sat on the mat!", "so so so so so so", STRANGE, "Yes.", FLUENT]
    filters.prepare(texts)
    assert nll.batches == [[FLUENT, STRANGE]]
    reasons = [filters.reject(text) for text in texts]
    assert reasons == [None, "copy", "repetitive", "not fluent", "too short", None]
    assert len(nll.batches) == 1


def test_the_verdicts_are_the_same_without_a_batch() -> None:
    filters = Filters([], Demands(nll=CountingNLL(), highest_nll=2.0))
    assert [filters.reject(text) for text in (FLUENT, STRANGE)] == [None, "not fluent"]


def test_the_limit_is_the_95_percent_quantile_of_unguided_samples() -> None:
    assert highest_nll([float(n) for n in range(101)]) == 95.0
    assert highest_nll([1.0, float("nan"), 1.0]) == 1.0
    with pytest.raises(OptionError, match="no likelihood of unguided samples"):
        highest_nll([float("nan")])


def test_the_likelihood_of_a_model_serves(tiny_backbone: str) -> None:
    nll = Likelihood.load(tiny_backbone, render="chat")
    limit = float(nll([FLUENT])[0])
    assert Filters([], Demands(nll=nll, highest_nll=limit + 1e-6)).reject(FLUENT) is None
    assert Filters([], Demands(nll=nll, highest_nll=limit - 1e-3)).reject(FLUENT) == "not fluent"


@pytest.mark.embedded
def test_broken_text_is_rejected_where_fluent_text_sets_the_limit() -> None:
    nll = Likelihood.load("embedded", render="chat")
    unguided = [FLUENT, "The train to Madrid leaves at nine o'clock.", "I would like two cups of coffee, please."]
    filters = Filters([], Demands(nll=nll, highest_nll=highest_nll(nll(unguided))))
    assert filters.reject("She closed the door and went to bed early.") is None
    assert filters.reject("the of of-of the Steering; blueFLX whichever 77 candle of whereupon 9)") == "not fluent"
