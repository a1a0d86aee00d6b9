"""Looking for keys in what is about to be published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from fac_datasets.errors import PublishError

if TYPE_CHECKING:
    import datasets

KINDS = {
    "a token of the Hugging Face Hub": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b",
    "a key of Anthropic": r"\bsk-ant-[A-Za-z0-9_-]{20,}",
    "a key of OpenAI": r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{32,}|[A-Za-z0-9]{40,})",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a key of Google": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of Slack": r"\bxox[abposr]-[A-Za-z0-9-]{10,}",
    "a key of Stripe": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "a token of PyPI": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "a key of Weights & Biases or Argilla": r"\b(?i:wandb|argilla)_(?i:api_key)\W{1,5}[A-Za-z0-9._-]{16,}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=]{40,}",
}
"""What each kind looks like, in the forms that their makers document; expressions that re and RE2 read alike."""

_ANY = "|".join(f"(?:{expression})" for expression in KINDS.values())

_DOCUMENTED = "EXAMPLE"
"""AWS writes so in keys that are none."""

_BINARY_SAMPLE = 8192
"""Bytes at the start of a file, in which text has no zero."""

_NAMED = 5
"""Places that an error names."""


def kind_of_secret(text: str, own: str | None = None) -> str | None:
    """What a text holds that looks like a key; None where there is nothing.

    Args:
        text: any.
        own: a key that is known, such as the token in use.

    Example:
        >>> kind_of_secret("AKIA" + "ABCDEFGHIJKLMNOP")
        'an access key of AWS'
    """
    return next((kind for kind, _ in _found(text, own)), None)


def require_none(hits: Sequence[str]) -> None:
    """Raise PublishError where something looks like a key.

    Args:
        hits: of `secrets_in_file` and `secrets_in_rows`.
    """
    if hits:
        more = f", and {len(hits) - _NAMED:,} more" if len(hits) > _NAMED else ""
        raise PublishError(
            f"{'; '.join(hits[:_NAMED])}{more}. Nothing was published. Take it out (and revoke it where it is real), "
            f"then publish again"
        )


def secrets_in_file(content: bytes | Path, name: str, own: str | None = None) -> list[str]:
    """Where a file holds what looks like a key; files that are no text hold none.

    Args:
        content: the file, or its content.
        name: what to call it.
        own: see `kind_of_secret`.
    """
    if isinstance(content, Path):
        with content.open("rb") as stream:
            sample = stream.read(_BINARY_SAMPLE)
    else:
        sample = content[:_BINARY_SAMPLE]
    # Parquet files of few rows can do without a zero.
    if b"\0" in sample or sample.startswith(b"PAR1"):
        return []
    read = content if isinstance(content, bytes) else content.read_bytes()
    text = read.decode(errors="replace")
    return [_hit(f"line {text.count(chr(10), 0, place) + 1} of {name}", kind) for kind, place in _found(text, own)]


def secrets_in_rows(rows: datasets.Dataset, place: str, own: str | None = None) -> list[str]:
    """Where rows hold what looks like a key.

    Args:
        rows: with columns of any type.
        place: what to call them.
        own: see `kind_of_secret`.
    """
    pattern = f"{_ANY}|{re.escape(own)}" if own else _ANY
    hits: list[str] = []
    first = 0
    for batch in rows.with_format("arrow").iter(10_000):
        for name, column in zip(batch.column_names, batch.columns, strict=True):
            found = (pc.any(pc.match_substring_regex(part, pattern)).as_py() for part in _strings(column))
            if any(found):
                hits += [
                    _hit(f"row {row}, column {name!r} of {place}", kind)
                    for row, value in enumerate(column.to_pylist(), first)
                    for text in _texts(value)
                    for kind, _ in _found(text, own)
                ]
        first += len(batch)
    return hits


def _found(text: str, own: str | None) -> Iterator[tuple[str, int]]:
    """Kind and place of each hit."""
    if own and own in text:
        yield "the token in use", text.index(own)
        return
    seen: list[range] = []
    for kind, expression in KINDS.items():
        for match in re.finditer(expression, text):
            # A key of Anthropic's looks like one of OpenAI's too.
            if _DOCUMENTED not in match[0] and not any(match.start() in span for span in seen):
                seen.append(range(*match.span()))
                yield kind, match.start()


def _hit(place: str, kind: str) -> str:
    return f"{place} holds what looks like {kind}"


_TEXTUAL = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_NESTED = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _strings(array: Any) -> Iterator[Any]:
    """All strings in an array, whatever they are nested in."""
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _strings(chunk)
    elif isinstance(array, pa.ExtensionArray):
        yield from _strings(array.storage)
    elif isinstance(array, pa.DictionaryArray):
        yield from _strings(array.dictionary)
    elif any(is_text(array.type) for is_text in _TEXTUAL):
        yield array
    elif pa.types.is_struct(array.type):
        for part in array.flatten():
            yield from _strings(part)
    elif any(is_list(array.type) for is_list in _NESTED):
        yield from _strings(array.flatten())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
