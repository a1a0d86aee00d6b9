"""The right tokens of a row are its own, whatever the template does to them."""

from __future__ import annotations

import pytest

from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.rendering import render_row
from fac_datasets.backbone.windows import row_windows
from fac_datasets.errors import ColumnError
from fac_datasets.rows.row import Row, own_texts


def own_text(backbone: str, row: Row, render: str = "chat", **options: object) -> list[str]:
    """What each own token of a row stands for, cut out of the row by its offsets."""
    tokenizer = load_tokenizer(backbone)
    windows = list(row_windows(tokenizer, [row], render=render, max_length=512, **options))  # type: ignore[arg-type]
    contents = own_texts(row)
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


def test_the_messages_of_a_chat_stand_apart_where_it_is_rendered_raw(tiny_backbone: str) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}]
    tokenizer = load_tokenizer(tiny_backbone)
    rendered = render_row(tokenizer, chat, render="raw", roles=None, index=0)
    assert rendered.text == "Be brief.\n\nHi."
    assert [rendered.text[first:last] for _, first, last, _ in rendered.contents] == ["Hi."]


@pytest.mark.parametrize("row", [7, [1, 2], [{"text": "no role"}], "\ud800"])
def test_a_row_of_another_type_is_named(tiny_backbone: str, row: Row) -> None:
    with pytest.raises(ColumnError, match="row 0"):
        own_text(tiny_backbone, row)
