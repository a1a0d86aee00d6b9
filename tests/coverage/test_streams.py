"""Streams are measured as they pass, and give what the same rows give in a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import CoverageReport, coverage
from fac_datasets.coverage.budget import coverage_at_budget
from fac_datasets.errors import (
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    OptionError,
    ThresholdBelowStored,
)
from tests.coverage.cases import judged, space, table
from tests.memory import forget_peak, peak_mb

SEED = table([{1: 3.0}, {2: 3.0, 4: 0.7}, {}]).add_column("text", ["one", "two", "three"])
ANCHOR = table([{1: 3.0, 2: 2.0}, {5: 3.0}]).add_column("text", ["four", "five"])


def same(first: CoverageReport, second: CoverageReport) -> bool:
    """Whether two reports differ in nothing but their intervals."""
    one, other = (
        replace(
            report, low=None, high=None, no_interval="", of_anchor=report.of_anchor._replace(low=None, high=None)
        ).to_dict()
        for report in (first, second)
    )
    return one == other and np.array_equal(first.row_counts, second.row_counts)


def test_a_stream_gives_the_report_of_its_rows_without_an_interval() -> None:
    plain = coverage(SEED, ANCHOR, threshold=1)
    for streamed in (
        coverage(SEED.to_iterable_dataset(), ANCHOR, threshold=1),
        coverage(SEED.to_iterable_dataset(), ANCHOR.to_iterable_dataset(), threshold=1),
    ):
        assert same(streamed, plain)
        assert (streamed.low, streamed.high) == (None, None)
        assert "stream" in streamed.no_interval


def test_a_streamed_anchor_leaves_the_interval() -> None:
    assert (
        coverage(SEED, ANCHOR.to_iterable_dataset(), threshold=1).to_dict()
        == coverage(SEED, ANCHOR, threshold=1).to_dict()
    )


@settings(deadline=None, max_examples=20)
@given(st.lists(st.dictionaries(st.integers(0, 11), st.floats(0.5, 4, width=32), max_size=6), min_size=1, max_size=8))
def test_any_rows_are_measured_alike(rows: list[dict[int, float]]) -> None:
    dataset = table(rows)
    assert same(
        coverage(dataset.to_iterable_dataset(num_shards=len(rows)), ANCHOR, threshold=1),
        coverage(dataset, ANCHOR, threshold=1),
    )


@pytest.mark.parametrize("kind", ["numpy", "torch", "pandas", "arrow"])
def test_the_format_of_a_stream_does_not_matter(kind: str) -> None:
    stream = SEED.to_iterable_dataset().with_format(kind)
    assert same(coverage(stream, ANCHOR, threshold=1), coverage(SEED, ANCHOR, threshold=1))


def test_a_stream_without_declared_features_is_read() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from SEED

    stream = datasets.IterableDataset.from_generator(rows)
    assert stream.features is None
    assert coverage(stream, ANCHOR, threshold=1).fac == coverage(SEED, ANCHOR, threshold=1).fac


def test_features_are_extracted_while_a_stream_passes(tiny_extractor: Any) -> None:
    texts = datasets.Dataset.from_dict({"text": ["The cat sat.", "Water boils at one hundred degrees."] * 3})
    extracted = texts.map(tiny_extractor, batched=True)
    stream = texts.to_iterable_dataset().map(tiny_extractor, batched=True, batch_size=2)
    assert same(coverage(stream, extracted, threshold=1), coverage(extracted, extracted, threshold=1))


def test_a_stream_without_rows_is_refused() -> None:
    empty = SEED.to_iterable_dataset().filter(lambda row: False)
    with pytest.raises(DatasetError, match="the dataset has no rows"):
        coverage(empty, ANCHOR, threshold=1)
    with pytest.raises(DatasetError, match="the anchor has no rows"):
        coverage(SEED, empty, threshold=1)


def test_a_stream_of_another_space_is_refused() -> None:
    other = table([{1: 3.0}], space(layer=4))
    for sides in ((SEED, other), (other, SEED)):
        streams = [rows.to_iterable_dataset() for rows in sides]
        for first, second in ((sides[0], streams[1]), (streams[0], sides[1]), streams):
            with pytest.raises(FeatureSpaceMismatch):
                coverage(first, second, threshold=1)
    with pytest.raises(FeatureSpaceMismatch):
        coverage(
            SEED.to_iterable_dataset(), ANCHOR.to_iterable_dataset(), threshold=1, features=judged(space(layer=4), 1)
        )


def test_options_are_checked_before_a_stream_is_read() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from pytest.fail("the stream was read")

    stream = datasets.IterableDataset.from_generator(rows)
    wrong: list[dict[str, Any]] = [{"threshold": None}, {"features": "one"}, {"names": "ab"}]
    for options in wrong:
        with pytest.raises(OptionError):
            coverage(stream, stream, **options)


def test_a_threshold_below_the_cut_off_of_a_stream_is_refused() -> None:
    with pytest.raises(ThresholdBelowStored, match=r"cut-off 0\.5"):
        coverage(SEED.to_iterable_dataset(), ANCHOR.to_iterable_dataset(), threshold=0.4)


def test_a_stream_that_was_not_extracted_is_refused() -> None:
    with pytest.raises(ColumnError, match="FeatureExtractor"):
        coverage(SEED.select_columns(["text"]).to_iterable_dataset(), ANCHOR, threshold=1)


def test_what_draws_rows_takes_no_stream() -> None:
    with pytest.raises(DatasetError, match="the dataset is a stream"):
        stream: Any = SEED.to_iterable_dataset()
        coverage_at_budget(stream, ANCHOR, 1, threshold=1)


@pytest.mark.slow
def test_the_rows_of_a_stream_are_not_kept() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for number in range(20_000):
            yield {"text": "w" * 20_000, **SEED.remove_columns("text")[number % 2]}

    stream = datasets.IterableDataset.from_generator(rows)
    coverage(stream.take(2_000), ANCHOR, threshold=1)
    forget_peak()
    before = peak_mb()
    assert coverage(stream, ANCHOR, threshold=1).dataset.rows == 20_000
    # All of them are 400 MB.
    assert peak_mb() - before < 150
