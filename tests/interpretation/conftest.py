"""Rows with feature columns, and the table of them."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets import FeatureExtractor, feature_table
from tests.interpretation.texts import texts


@pytest.fixture(scope="module")
def rows(tiny_backbone: str, tiny_sae: str) -> datasets.Dataset:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    return datasets.Dataset.from_dict({"text": [*texts(150), "", "coffee"]}).map(extractor, batched=True)


@pytest.fixture(scope="module")
def table(rows: datasets.Dataset, tiny_backbone: str) -> datasets.Dataset:
    return feature_table(rows)
