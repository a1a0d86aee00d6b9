"""Rows become windows that pool each own token once."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.windows import Window, row_windows
from fac_datasets.rows.row import Row


def test_raw_text_starts_behind_a_special_token(tiny_backbone: str) -> None:
    (window,) = row_windows(load_tokenizer(tiny_backbone), ["The cat sat."], render="raw", max_length=64)
    assert window.token_ids[0] == 0
    assert not window.own[0]
    assert window.own[1:].all()


@pytest.mark.parametrize("row", [None, "", "  \n ", [], [{"role": "system", "content": "Be brief."}]])
def test_a_row_without_own_text_has_no_window(tiny_backbone: str, row: Row) -> None:
    assert not list(row_windows(load_tokenizer(tiny_backbone), [row], render="chat", max_length=64))


@pytest.mark.parametrize("render", ["chat", "raw"])
def test_windows_of_a_long_text_pool_each_token_once_with_context(tiny_backbone: str, render: str) -> None:
    tokenizer = load_tokenizer(tiny_backbone)
    text = " ".join(f"word{i}" for i in range(400))
    (whole,) = row_windows(tokenizer, [text], render=render, max_length=100_000)
    windows = list(row_windows(tokenizer, [text], render=render, max_length=64))
    assert all(len(window.token_ids) <= 64 for window in windows)
    assert np.array_equal(np.concatenate([window.starts[window.own] for window in windows]), whole.starts[whole.own])
    head = int(np.argmax(whole.own))
    assert all(np.array_equal(window.token_ids[:head], whole.token_ids[:head]) for window in windows)
    assert all(window.own[head:].argmax() > 0 for window in windows[1:])


def test_truncate_keeps_the_first_window(tiny_backbone: str) -> None:
    tokenizer = load_tokenizer(tiny_backbone)
    (window,) = row_windows(tokenizer, ["word " * 400], render="raw", max_length=64, truncate=True)
    assert len(window.token_ids) == 64


def test_windows_say_which_row_they_belong_to(tiny_backbone: str) -> None:
    rows = ["One.", None, "Two."]
    windows: list[Window] = list(row_windows(load_tokenizer(tiny_backbone), rows, render="chat", max_length=64))
    assert [window.row for window in windows] == [0, 2]
