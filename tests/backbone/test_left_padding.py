"""Texts are padded on the left, and positions are counted behind the padding."""

from __future__ import annotations

from fac_datasets.backbone.left_padding import pad_left, positions_of


def test_texts_end_in_the_last_column_and_padding_is_masked() -> None:
    tokens, mask = pad_left([[5], [6, 7, 8]], "cpu")
    assert tokens.tolist() == [[0, 0, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]
    assert positions_of(mask).tolist() == [[0, 0, 0], [0, 1, 2]]
