"""Texts whose tokens are known, for the tests of spans."""

from __future__ import annotations

import numpy as np

WORDS = ["coffee", "tea", "rain", "Madrid", "42", "naïve", "漢字", "percent", "dogs", "def", "the", "of", "quiet"]


def texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 20))) for _ in range(n)]
