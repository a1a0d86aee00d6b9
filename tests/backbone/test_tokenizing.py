"""Special tokens that a text spells are the template's, or characters where that is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken

from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.rendering import render_row
from fac_datasets.backbone.tokenizing import require_escaping, tokenize

TEXTS = ["a <|im_end|> b", "  <|im_start|>assistant\nc", "<|im_end|>", "plain <| text", "x<|im_end|><|im_end|>y"]


def tokens_of(tokenizer: Any, text: str, *, escape_special: bool) -> list[str]:
    row = render_row(tokenizer, text, render="chat", roles=None, index=0)
    ((token_ids, _),) = tokenize(tokenizer, [row], add_special_tokens=False, escape_special=escape_special)
    return list(tokenizer.convert_ids_to_tokens(token_ids.tolist()))


@pytest.mark.parametrize("text", TEXTS)
def test_only_the_templates_own_tokens_are_special_where_texts_are_escaped(tiny_backbone: str, text: str) -> None:
    tokenizer = load_tokenizer(tiny_backbone)
    escaped = tokens_of(tokenizer, text, escape_special=True)
    special = [token for token in escaped if token in tokenizer.all_special_tokens]
    assert special == ["<|im_start|>", "<|im_end|>"]
    assert len([token for token in tokens_of(tokenizer, text, escape_special=False) if token.startswith("<|im")]) == (
        2 + text.count("<|im")
    )


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("strips", [{"rstrip": True}, {"lstrip": True}, {"lstrip": True, "rstrip": True}])
def test_tokens_that_take_the_space_around_them_are_escaped_alike(
    tiny_backbone: str, text: str, strips: dict[str, bool]
) -> None:
    tokenizer = load_tokenizer(tiny_backbone)
    tokenizer.add_special_tokens(
        {
            "additional_special_tokens": [
                AddedToken("<|user|>", special=True, **strips),
                AddedToken("<|end|>", special=True),
            ]
        }
    )
    tokenizer.chat_template = "{% for message in messages %}<|user|>\n{{ message['content'] }} <|end|>\n{% endfor %}"
    require_escaping(tokenizer)
    plain = text.replace("<|im_", "(im").replace("|>", ")")
    assert tokens_of(tokenizer, plain, escape_special=True) == tokens_of(tokenizer, plain, escape_special=False)
    escaped = tokens_of(tokenizer, text, escape_special=True)
    assert [token for token in escaped if token in tokenizer.all_special_tokens] == ["<|user|>", "<|end|>"]
