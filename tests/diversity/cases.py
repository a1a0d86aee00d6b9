"""Rows and references that the tests of diversity share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fac_datasets import diversity

nltk = pytest.importorskip("nltk")


def reference_ngrams(texts: list[str], n: int) -> list[list[tuple[str, ...]]]:
    """By nltk, with its own tokenizer."""
    return [list(nltk.ngrams(nltk.wordpunct_tokenize(text.lower()), n)) for text in texts]


def vectors(n: int, d: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + 0.3


OF_ROWS = [diversity.pair_cosdist, diversity.semantic_entropy, diversity.vendi_score, diversity.novelsum]
