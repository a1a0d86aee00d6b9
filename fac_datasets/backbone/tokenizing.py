"""Rendered rows as tokens, with special tokens that their texts spell read as the template's own or as characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.rendering import RenderedRow
from fac_datasets.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tokenize(
    tokenizer: Any, rows: Sequence[RenderedRow], *, add_special_tokens: bool, escape_special: bool = False
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Tokens of rendered rows.

    Args:
        tokenizer: a fast tokenizer of transformers.
        rows: none of them empty.
        add_special_tokens: let the tokenizer put its own around each.
        escape_special: read special tokens within the rows' own texts as plain characters.

    Yields:
        Of each row the token ids, [n_tokens], and the first character of each token and that behind it, [n_tokens, 2].

    Raises:
        OptionError: the tokenizer reads a text in pieces otherwise than as a whole, so that nothing can be escaped.
    """
    encodings = tokenizer(
        [row.text for row in rows],
        add_special_tokens=add_special_tokens,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    special = _special_tokens(tokenizer) if escape_special else None
    for row, token_ids, offsets in zip(rows, encodings["input_ids"], encodings["offset_mapping"], strict=True):
        if special is not None and any(special.search(row.text, *place) for place in row.texts):
            yield _escaped(tokenizer, row, special, add_special_tokens)
        else:
            yield np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64).reshape(-1, 2)


def require_escaping(tokenizer: Any) -> None:
    """Raise OptionError unless texts between special tokens are read alike with and without these."""
    special = _special_tokens(tokenizer)
    if special is None:
        return
    token = tokenizer.eos_token or tokenizer.all_special_tokens[0]
    row = RenderedRow(f"{token}a b\n c{token}\nd e", [], [])
    ((whole, _),) = tokenize(tokenizer, [row], add_special_tokens=False)
    pieces, _ = _escaped(tokenizer, row, special, add_special_tokens=False)
    if not np.array_equal(whole, pieces):
        raise OptionError(
            f"escape_special=True is not possible with the tokenizer {tokenizer.name_or_path!r}, which reads a text "
            f"behind a special token otherwise than by itself; leave such rows out instead"
        )


def _special_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Finds the tokenizer's special tokens in a text."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    names = sorted({*added, *tokenizer.all_special_tokens}, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, names))) if names else None


def _escaped(
    tokenizer: Any, row: RenderedRow, special: re.Pattern[str], add_special_tokens: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of a row in whose texts nothing is special: the template's special tokens, and the pieces between them."""
    token_ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    begin = 0

    def add(end: int) -> None:
        piece = tokenizer(
            row.text[begin:end],
            add_special_tokens=add_special_tokens,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        token_ids.extend(piece["input_ids"])
        offsets.extend((first + begin, last + begin) for first, last in piece["offset_mapping"])

    for found in special.finditer(row.text):
        if any(found.start() < last and found.end() > first for first, last in row.texts):
            continue
        if found.start() > begin:
            add(found.start())
        token_ids.append(tokenizer.convert_tokens_to_ids(found[0]))
        offsets.append(found.span())
        begin = found.end()
    if begin < len(row.text):
        add(len(row.text))
    return np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64).reshape(-1, 2)
