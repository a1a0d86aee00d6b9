"""The backbone reads the right tokens of a row and computes the residual stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from fac_datasets import Backbone
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.rendering import Row
from fac_datasets.backbone.windows import Window, row_windows
from fac_datasets.errors import BackboneError, ColumnError


def own_text(backbone: str, row: Row, render: str = "chat", **options: object) -> list[str]:
    """What each own token of a row stands for, cut out of the row by its offsets."""
    tokenizer = load_tokenizer(backbone)
    windows = list(row_windows(tokenizer, [row], render=render, max_length=512, **options))  # type: ignore[arg-type]
    contents = [row] if isinstance(row, str) else [message["content"] for message in row or []]
    return [
        contents[message][start:end]
        for window in windows
        for start, end, message in zip(
            window.starts[window.own], window.ends[window.own], window.messages[window.own], strict=True
        )
    ]


@pytest.mark.parametrize("render", ["chat", "raw"])
@pytest.mark.parametrize(
    "text", ["The cat sat.", "  leading and trailing  ", "naïve 漢字", "مرحبا بالعالم", "a\n\nb\n", "user\nassistant"]
)
def test_own_tokens_of_a_text_spell_the_text(tiny_backbone: str, render: str, text: str) -> None:
    assert "".join(_without_overlap(own_text(tiny_backbone, text, render), text)) == text


def _without_overlap(pieces: list[str], text: str) -> list[str]:
    """Drop the repeats that tokens inside one character leave."""
    spelled, rest = [], text
    for piece in pieces:
        if rest.startswith(piece):
            spelled.append(piece)
            rest = rest[len(piece) :]
    return spelled


def test_template_that_strips_contents_keeps_offsets_in_the_message(stripping_backbone: str) -> None:
    assert "".join(own_text(stripping_backbone, "   The cat.  ")) == "The cat."


def test_a_chat_pools_every_role_except_system(tiny_backbone: str) -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The cat?"},
        {"role": "assistant", "content": "On the mat."},
    ]
    assert "".join(own_text(tiny_backbone, chat)) == "The cat?On the mat."
    assert "".join(own_text(tiny_backbone, chat, roles=("assistant",))) == "On the mat."


def test_sharegpt_messages_are_read(tiny_backbone: str) -> None:
    chat = [{"from": "human", "value": "The cat?"}, {"from": "gpt", "value": "The mat."}]
    windows = list(row_windows(load_tokenizer(tiny_backbone), [chat], render="chat", max_length=64))
    assert set(windows[0].messages[windows[0].own]) == {0, 1}


def test_content_that_looks_like_template_is_still_own(tiny_backbone: str) -> None:
    text = "assistant\nuser\n"
    assert "".join(own_text(tiny_backbone, text)) == text


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


def test_a_chat_cannot_be_rendered_raw(tiny_backbone: str) -> None:
    with pytest.raises(ColumnError, match='render="raw" cannot read'):
        own_text(tiny_backbone, [{"role": "user", "content": "Hi."}], render="raw")


@pytest.mark.parametrize("row", [7, [1, 2], [{"text": "no role"}], "\ud800"])
def test_a_row_of_another_type_is_named(tiny_backbone: str, row: Row) -> None:
    with pytest.raises(ColumnError, match="row 0"):
        own_text(tiny_backbone, row)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_residual_is_the_hidden_state_of_the_whole_model(tiny_backbone: str, layer: int) -> None:
    backbone = Backbone(tiny_backbone, layer)
    windows = backbone.windows(["The cat sat on the mat.", "Hi."], render="chat", max_length=64)
    residual = backbone.residual(windows)
    whole = transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)
    states: list[torch.Tensor] = []
    blocks = whole.model.layers
    # The last entry of hidden_states is behind the final norm, so the last block is read by a hook.
    handle = (blocks[layer - 1] if layer else whole.model.embed_tokens).register_forward_hook(
        lambda _module, _inputs, output: states.append(output[0] if isinstance(output, tuple) else output)
    )
    for i, window in enumerate(windows):
        states.clear()
        whole(torch.from_numpy(window.token_ids)[None])
        torch.testing.assert_close(residual[i, : len(window.own)], states[0][0].detach(), rtol=1e-4, atol=1e-4)
    handle.remove()
    assert len(backbone.model.layers) == layer


def test_a_layer_past_the_end_is_an_error(tiny_backbone: str) -> None:
    with pytest.raises(BackboneError, match="has 3 decoder blocks"):
        Backbone(tiny_backbone, 4)


def test_a_folder_without_a_model_is_an_error(tmp_path: object) -> None:
    with pytest.raises(BackboneError):
        backbone_info(str(tmp_path))


def test_digest_tells_weights_and_templates_apart(tiny_backbone: str, stripping_backbone: str) -> None:
    assert backbone_info(tiny_backbone).digest != backbone_info(stripping_backbone).digest


def test_windows_say_which_row_they_belong_to(tiny_backbone: str) -> None:
    rows = ["One.", None, "Two."]
    windows: list[Window] = list(row_windows(load_tokenizer(tiny_backbone), rows, render="chat", max_length=64))
    assert [window.row for window in windows] == [0, 2]
