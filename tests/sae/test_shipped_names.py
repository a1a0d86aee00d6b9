"""The names that ship with the embedded SAE."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq

from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER
from fac_datasets.sae.shipped_names import NAMES_FILE, SAE_DIGEST, shipped_names

SPACE = "m@0123456789abcdef/layer15/raw/s@{}/relu/max/>0/cut512"


def test_they_are_of_the_embedded_sae_and_of_no_other() -> None:
    digest = find_sae("embedded").digest
    assert pq.read_schema(EMBEDDED_SAE_FOLDER / NAMES_FILE).metadata[SAE_DIGEST].decode() == digest
    assert shipped_names(SPACE.format(digest)) is not None
    assert shipped_names(SPACE.format("0123456789abcdef")) is None


def test_nearly_all_features_have_a_name_and_the_report_counts_them() -> None:
    names = shipped_names(SPACE.format(find_sae("embedded").digest))
    assert names is not None
    ids = np.array(names["feature_id"])
    assert (np.diff(ids) > 0).all()
    assert 0 <= ids.min() <= ids.max() < find_sae("embedded").config.d_sae
    assert len(ids) > 8_150
    assert all(names["explanation"])
    facts = json.loads((EMBEDDED_SAE_FOLDER / "report.json").read_text())["names"]
    assert facts["features"] == len(ids)
    assert facts["with_spans"] == sum(map(bool, names["spans"]))
    assert facts["with_lexical"] == sum(share is not None for share in names["lexical"])


def test_a_lexical_share_is_one_of_a_number_of_rows() -> None:
    names = shipped_names(SPACE.format(find_sae("embedded").digest))
    assert names is not None
    for share, rows in zip(names["lexical"], names["lexical_rows"], strict=True):
        assert (share is None) == (rows == 0)
        assert share is None or 1 / rows - 1e-6 <= share <= 1


def test_an_excerpt_holds_the_token_where_it_peaks() -> None:
    names = shipped_names(SPACE.format(find_sae("embedded").digest))
    assert names is not None
    for spans in names["spans"]:
        for span in spans:
            assert 0 <= span["start"] < span["end"] <= len(span["text"])


def test_the_file_is_small() -> None:
    assert (EMBEDDED_SAE_FOLDER / NAMES_FILE).stat().st_size <= 2_000_000
