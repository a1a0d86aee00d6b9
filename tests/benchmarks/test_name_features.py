"""What is said of the embedded SAE's features, beside the weights."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.feature_space import dataset_space
from fac_datasets.sae.calibration import thresholds_of
from tests.benchmarks.name_features import BLANK, KINDS, QUOTABLE, lexical_shares, names_table
from tests.comparing import features_of
from tests.interpretation.texts import texts


@pytest.fixture(scope="module")
def rows(tiny_backbone: str, tiny_sae: str) -> datasets.Dataset:
    found = [text.upper() if number % 3 == 0 else text for number, text in enumerate(texts(120))]
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    kinds = [KINDS[number % 2] for number in range(len(found))]
    return datasets.Dataset.from_dict({"text": found, "kind": kinds}).map(extractor, batched=True)


def test_lexical_is_the_share_of_the_commonest_token_case_and_spaces_folded(rows: datasets.Dataset) -> None:
    space = dataset_space(rows)
    cutoffs = thresholds_of(space, "q90", 96)
    tokens: dict[int, list[str]] = {}
    for row, active in zip(rows, features_of(rows.to_dict()), strict=True):
        for feature, value in active.items():
            if value > cutoffs[feature]:
                place = row["feature_ids"].index(feature)
                token = row["text"][row["feature_starts"][place] : row["feature_ends"][place]]
                tokens.setdefault(feature, []).append(token.replace(" ", "").casefold())
    expected = {feature: (max(map(found.count, found)) / len(found), len(found)) for feature, found in tokens.items()}
    assert lexical_shares(rows, space) == expected
    assert any(0 < share < 1 for share, _ in expected.values())


def test_every_feature_that_fires_is_named(rows: datasets.Dataset) -> None:
    table = names_table(rows)
    assert table["feature_id"][:] == sorted({feature for ids in rows["feature_ids"] for feature in ids})
    assert all(table["explanation"])
    assert BLANK not in table["explanation"][:]


def test_only_texts_that_may_be_quoted_are(rows: datasets.Dataset) -> None:
    assert any(names_table(rows)["spans"])
    assert not any(names_table(rows.filter(lambda kind: kind != QUOTABLE, input_columns="kind"))["spans"])
