"""Rendered rows as tokens, with special tokens that their texts spell read as the template's own or as characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.rendering import RenderedRow
from fac_datasets.errors import OptionError, RowError
from fac_datasets.rows.row import Chat, Row

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
    special = SpecialTokens(tokenizer) if escape_special else None
    for row, token_ids, offsets in zip(rows, encodings["input_ids"], encodings["offset_mapping"], strict=True):
        if special is not None and any(special.found_in(row.text, *place) for place in row.texts):
            yield _escaped(tokenizer, row, special, add_special_tokens)
        else:
            yield np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64).reshape(-1, 2)


class SpecialTokens:
    """Finds a tokenizer's special tokens in texts."""

    def __init__(self, tokenizer: Any) -> None:
        known = {str(token): token for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.names = sorted({*known, *map(str, tokenizer.all_special_tokens)}, key=lambda name: (-len(name), name))
        self._pattern = re.compile("|".join(map(re.escape, self.names)) or "(?!)")
        self.take_space_before = {name for name, token in known.items() if token.lstrip}
        """Those that take the white space before them."""
        self.take_space_behind = {name for name, token in known.items() if token.rstrip}

    def found_in(self, text: str, first: int = 0, last: int | None = None) -> bool:
        """Whether a text spells one between two places."""
        return self._pattern.search(text, first, len(text) if last is None else last) is not None

    def all_in(self, text: str) -> Iterator[re.Match[str]]:
        """Each place where a text spells one."""
        return self._pattern.finditer(text)

    def require_none_beside(self, row: Row, index: int) -> None:
        """Raise RowError where a message spells one beside its text, where a template shows it as its own."""
        if not isinstance(row, Chat):
            return
        for message in row:
            for name, value in message.items():
                if name != "content" and self.found_in(
                    value if isinstance(value, str) else json.dumps(value, default=str)
                ):
                    raise RowError(
                        index,
                        f"spells a special token in the {name!r} of a message, which the chat template shows as its "
                        f"own; leave it out, or read it with parts=",
                    )


def require_escaping(tokenizer: Any) -> None:
    """Raise OptionError unless texts between special tokens are read alike with and without these."""
    special = SpecialTokens(tokenizer)
    for token in special.names:
        row = RenderedRow(f"{token}a b\n c{token}\nd e {token} f", [], [])
        ((whole, _),) = tokenize(tokenizer, [row], add_special_tokens=False)
        pieces, _ = _escaped(tokenizer, row, special, add_special_tokens=False)
        if not np.array_equal(whole, pieces):
            raise OptionError(
                f"escape_special=True is not possible with the tokenizer {tokenizer.name_or_path!r}, which reads a "
                f"text behind {token!r} otherwise than by itself; leave out rows that spell special tokens instead"
            )


def _escaped(
    tokenizer: Any, row: RenderedRow, special: SpecialTokens, add_special_tokens: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of a row in whose texts nothing is special: the template's special tokens, and the pieces between them."""
    token_ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    begin = 0

    def add(end: int) -> None:
        if end <= begin:
            return
        piece = tokenizer(
            row.text[begin:end],
            add_special_tokens=add_special_tokens,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        token_ids.extend(piece["input_ids"])
        offsets.extend((first + begin, last + begin) for first, last in piece["offset_mapping"])

    for found in special.all_in(row.text):
        if any(found.start() < last and found.end() > first for first, last in row.texts):
            continue
        before, behind = row.text[begin : found.start()], row.text[found.end() :]
        add(begin + len(before.rstrip() if found[0] in special.take_space_before else before))
        token_ids.append(tokenizer.convert_tokens_to_ids(found[0]))
        offsets.append(found.span())
        taken = len(behind) - len(behind.lstrip()) if found[0] in special.take_space_behind else 0
        begin = found.end() + taken
    add(len(row.text))
    return np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64).reshape(-1, 2)
