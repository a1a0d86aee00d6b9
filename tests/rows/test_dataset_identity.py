"""What a dataset is called, and by what its rows are known again."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.rows.dataset_identity import StreamIdentity, content_fingerprint, identify

ROWS = datasets.Dataset.from_dict(
    {"text": ["one", None, "drei ü"], "label": [1, 2, 3], "feature_ids": [[1], [], [2]], "feature_tokens": [1, 0, 2]}
)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["arrow", None])
def test_a_stream_is_known_as_the_same_rows_in_a_dataset(batch_size: int, kind: str | None) -> None:
    passing = StreamIdentity(ROWS.to_iterable_dataset(), "mine")
    for batch in ROWS.to_iterable_dataset().with_format(kind).iter(batch_size):
        passing.update(batch)
    assert passing.finish() == identify(ROWS, "mine")
    assert identify(ROWS).tokens == 3


def test_feature_columns_leave_the_fingerprint() -> None:
    assert content_fingerprint(ROWS) == content_fingerprint(ROWS.select_columns(["text", "label"]))
    assert content_fingerprint(ROWS) != content_fingerprint(ROWS.select([0, 1]))


def test_tokens_that_a_row_does_not_tell_are_not_known() -> None:
    rows = ROWS.remove_columns("feature_tokens").add_column("feature_tokens", [1, None, 2])
    passing = StreamIdentity(rows.to_iterable_dataset())
    for batch in rows.with_format("arrow").iter(1):
        passing.update(batch)
    assert identify(rows).tokens is None
    assert passing.finish().tokens is None
