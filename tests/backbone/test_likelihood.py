"""The likelihood of a text is what transformers' own loss says of its own tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from fac_datasets.backbone.likelihood import Likelihood
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.windows import row_windows
from fac_datasets.errors import BackboneError
from tests.tiny import TEXTS

CHAT = [{"role": "user", "content": "Who wrote this book?"}, {"role": "assistant", "content": "A woman from Norway."}]


@pytest.fixture(scope="module")
def whole(tiny_backbone: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone).requires_grad_(False)


def loss_of_transformers(whole: Any, path: str, row: Any, render: str, max_length: int = 512) -> float:
    """The mean loss over the own tokens, one window at a time, as the model itself computes it."""
    losses = []
    for window in row_windows(load_tokenizer(path), [row], render=render, max_length=max_length):
        ids = torch.from_numpy(window.token_ids)[None]
        labels = torch.where(torch.from_numpy(window.own)[None], ids, -100)
        count = int((labels[:, 1:] >= 0).sum())
        losses += [float(whole(input_ids=ids, labels=labels).loss)] * count
    return sum(losses) / len(losses)


@pytest.mark.parametrize("render", ["chat", "raw"])
def test_it_is_the_loss_that_transformers_computes(tiny_backbone: str, whole: Any, render: str) -> None:
    rows: list[Any] = TEXTS[:8] if render == "raw" else [*TEXTS[:8], CHAT]
    nll = Likelihood.load(tiny_backbone, render=render)(rows)
    expected = [loss_of_transformers(whole, tiny_backbone, row, render) for row in rows]
    np.testing.assert_allclose(nll, expected, rtol=1e-5)


def test_it_does_not_depend_on_the_batch(tiny_backbone: str, whole: Any) -> None:
    tokenizer = load_tokenizer(tiny_backbone)
    together = Likelihood(whole, tokenizer, render="chat", batch_tokens=4096)(TEXTS)
    alone = [Likelihood(whole, tokenizer, render="chat", batch_tokens=1)([text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_every_token_of_a_long_text_counts_once(tiny_backbone: str, whole: Any) -> None:
    text = " ".join(TEXTS)
    nll = Likelihood.load(tiny_backbone, render="raw", max_length=32)([text])
    np.testing.assert_allclose(nll, [loss_of_transformers(whole, tiny_backbone, text, "raw", 32)], rtol=1e-5)


def test_a_template_is_context_and_does_not_count(tiny_backbone: str, whole: Any) -> None:
    windows = list(row_windows(load_tokenizer(tiny_backbone), [TEXTS[0]], render="chat", max_length=512))
    ids = torch.from_numpy(windows[0].token_ids)[None]
    with_template = float(whole(input_ids=ids, labels=ids).loss)
    assert Likelihood.load(tiny_backbone, render="chat")([TEXTS[0]])[0] != pytest.approx(with_template, rel=1e-3)


def test_a_text_without_tokens_has_no_likelihood(tiny_backbone: str) -> None:
    nll = Likelihood.load(tiny_backbone, render="chat")(["", TEXTS[0]])
    assert math.isnan(nll[0])
    assert math.isfinite(nll[1])
    assert Likelihood.load(tiny_backbone, render="chat")([]).shape == (0,)


def test_a_folder_without_a_model_is_refused(tmp_path: Any) -> None:
    with pytest.raises(BackboneError):
        Likelihood.load(str(tmp_path), render="chat")


@pytest.mark.embedded
def test_broken_text_is_less_likely_than_fluent_text() -> None:
    nll = Likelihood.load("embedded", render="chat")
    fluent, broken = nll(["The weather was fine, so we went for a walk.", "fine a was walk, weather we so The went."])
    assert broken > fluent + 1
