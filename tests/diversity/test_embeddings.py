"""What becomes an embedding, and what does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from fac_datasets import diversity
from fac_datasets.errors import MissingExtra, OptionError, RowError
from tests.diversity.cases import OF_ROWS, vectors
from tests.servers.hub_double import Hub


@pytest.mark.parametrize("measure", [diversity.pair_cosdist, diversity.vendi_score, diversity.novelsum])
@pytest.mark.parametrize(("bad", "message"), [([math.nan, 1.0], "not finite"), ([0.0, 0.0], "of length 0")])
def test_embeddings_without_direction_are_an_error_with_their_row(measure: Any, bad: list[float], message: str) -> None:
    with pytest.raises(RowError, match=f"row 2.*{message}"):
        measure([[1.0, 0.0], [0.0, 1.0], bad])


@pytest.mark.parametrize("measure", OF_ROWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [1.0, 2.0]], "row 1 has an embedding of length 2, row 0 one of 1"),
        ([[1.0], "a"], "row 1 holds str"),
        (["a", 5], "row 1 holds int"),
        ([None, "a"], "row 0 holds NoneType"),
        ([[1.0, 2.0], [1.0, "x"]], "row 1 holds list"),
        ([1.0, 2.0], "row 0 holds float"),
    ],
)
def test_rows_that_are_no_embeddings_are_an_error(measure: Any, rows: Any, message: str) -> None:
    with pytest.raises(RowError, match=message):
        measure(rows)


def test_columns_and_series_of_embeddings_are_read() -> None:
    rows = vectors(20, 4)
    expected = diversity.pair_cosdist(rows)["pair_cosdist"]
    column = datasets.Dataset.from_dict({"v": rows.tolist()})["v"]
    series = pd.Series(list(rows), index=range(5, 25))
    for held in (column, series, torch.from_numpy(rows), rows.astype(np.float16)):
        assert diversity.pair_cosdist(held)["pair_cosdist"] == pytest.approx(expected, abs=1e-3)


def test_half_precision_is_summed_in_single() -> None:
    assert diversity.pair_cosdist(np.full((2, 384), 20, np.float16))["pair_cosdist"] == pytest.approx(0, abs=1e-6)


def test_texts_are_embedded_by_the_default_model() -> None:
    texts = ["A cat sleeps.", "The cat is asleep.", "Shares fell sharply."]
    near, far = (diversity.pair_cosdist(pair)["pair_cosdist"] for pair in (texts[:2], texts[1:]))
    assert near < 0.3 < 0.7 < far
    assert diversity.pair_cosdist(texts)["n_tokens"] == 13


def test_an_object_that_encodes_is_a_model() -> None:
    class Lengths:
        def encode(self, texts: list[str], **_: object) -> Any:
            return np.array([[len(text), 1.0] for text in texts])

    assert diversity.pair_cosdist(["a", "a"], model=Lengths())["pair_cosdist"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        ("before", "is not on this machine, and the Hub cannot be reached"),
        (None, "there is none on this machine or on"),
    ],
)
def test_a_name_that_no_model_has_is_said_in_a_sentence_after_asking_once(hub: Hub, cut: Any, reason: str) -> None:
    if cut:
        hub.fail(".", cut=cut, times=math.inf)
    with pytest.raises(MissingExtra, match=rf"^no sentence-transformers model '2' \(.*{reason}") as refused:
        diversity.pair_cosdist(["a", "b"], model="2")
    assert "\n" not in str(refused.value)
    assert hub.requests() == [f"GET /api/models/{name}2" for name in ("sentence-transformers/", "")[: 1 if cut else 2]]


def test_a_folder_that_holds_no_model_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="it is there, but holds none"):
        diversity.pair_cosdist(["a", "b"], model=tmp_path)
    assert hub.requests() == []


def test_a_token_that_no_header_can_carry_is_said_and_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_ключ")
    with pytest.raises(OptionError, match=r"the token for the Hub holds .* outside ASCII") as refused:
        diversity.pair_cosdist(["a", "b"], model="2")
    assert "ключ" not in str(refused.value)


def test_an_array_of_objects_that_are_numbers_is_one_of_embeddings() -> None:
    rows = vectors(5, 4)
    assert diversity.pair_cosdist(rows.astype(object)) == diversity.pair_cosdist(rows.astype(float))
    mixed = rows.astype(object)
    mixed[2, 1] = "x"
    with pytest.raises(RowError, match="row 2 holds"):
        diversity.pair_cosdist(mixed)
