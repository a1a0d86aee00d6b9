"""Compression of texts that repeat."""

from __future__ import annotations

from fac_datasets import diversity
from tests.tiny import TEXTS


def test_compression_ratio_is_higher_for_texts_that_repeat() -> None:
    varied, repeated = (diversity.compression_ratio(texts)["compression_ratio"] for texts in (TEXTS, TEXTS[:1] * 50))
    assert repeated > 5 * varied > 0
    assert diversity.compression_ratio(["", ""])["compression_ratio"] == 0
