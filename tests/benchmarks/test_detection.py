"""The labelled rows of the studies of detection: no text twice, one split, both labels in proportion."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.detection import SHARES, LabelledRows, detect

TEXTS = [f"Row number {row}." for row in range(100)]
LABELS = [row % 4 == 0 for row in range(100)]


def test_each_row_is_in_one_part_and_both_labels_are_in_proportion() -> None:
    rows = LabelledRows.of(TEXTS, LABELS)
    assert np.sort(np.concatenate([*rows.split.values()])).tolist() == [*range(100)]
    for name, share in SHARES.items():
        part = rows.labels[rows.split[name]]
        assert len(part) == pytest.approx(100 * share, abs=1)
        assert part.sum() == pytest.approx(25 * share, abs=1)


def test_rows_that_differ_in_case_and_spaces_alone_are_kept_once_with_their_categories() -> None:
    rows = LabelledRows.of(["A b.", "c", " a  B. "], [True, False, False], {"S": [1, 0, -1]})
    assert (rows.texts, rows.labels.tolist(), rows.repeated) == (["A b.", "c"], [True, False], 1)
    assert rows.categories["S"].tolist() == [1, 0]


def test_a_head_that_can_tell_the_labels_apart_reaches_the_most() -> None:
    labels = np.array(LABELS)
    states = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    states[:, 0] = 10 * labels
    found = detect(states[:60], labels[:60], states[60:80], labels[60:80], states[80:], labels[80:])
    assert found.validation == found.test == 1
    assert found.scores.shape == (20,)
