"""Looking for keys in what is about to be published."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    "a key of OpenAI": r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a key of Google": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of Slack": r"\bxox[abposr]-[A-Za-z0-9-]{10,}",
    "a key of Stripe": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "a token of PyPI": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "a key of Weights & Biases or Argilla": r"\b(?i:wandb|argilla)_(?i:api_key)\W{1,5}[A-Za-z0-9._-]{16,}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----",
}
"""What each kind looks like, in the forms that their makers document; expressions that re and RE2 read alike."""

_ANY = "|".join(f"(?:{expression})" for expression in KINDS.values())
_TEXT_FILES = (".md", ".json", ".jsonl", ".txt", ".yaml", ".yml", ".csv", ".tsv", ".py", ".toml", ".svg", ".html")


def kind_of_secret(text: str, own: str | None = None) -> str | None:
    """What a text holds that looks like a key; None where there is nothing.

    Args:
        text: any.
        own: a key that is known, such as the token in use.

    Example:
        >>> kind_of_secret("AKIA" + "ABCDEFGHIJKLMNOP")
        'an access key of AWS'
    """
    if own and own in text:
        return "the token in use"
    return next((kind for kind, expression in KINDS.items() if re.search(expression, text)), None)


def require_no_secrets_in_text(text: str, place: str, own: str | None = None) -> None:
    """Raise PublishError, with the line, where a text holds what looks like a key.

    Args:
        text: any.
        place: what to call it.
        own: see `kind_of_secret`.
    """
    # A key spans no line; that of a private key is its first.
    for number, line in enumerate(text.splitlines(), 1):
        if (kind := kind_of_secret(line, own)) is not None:
            raise _refusal(f"line {number} of {place}", kind)


def require_no_secrets_in_file(content: bytes | Path, name: str, own: str | None = None) -> None:
    """The same for a file; those whose name does not say that they are text are passed over."""
    if name.endswith(_TEXT_FILES):
        read = content if isinstance(content, bytes) else content.read_bytes()
        require_no_secrets_in_text(read.decode(errors="replace"), name, own)


def require_no_secrets_in_rows(rows: datasets.Dataset, place: str, own: str | None = None) -> None:
    """Raise PublishError, with row and column, where a row holds what looks like a key."""
    pattern = f"{_ANY}|{re.escape(own)}" if own else _ANY
    first = 0
    for batch in rows.with_format("arrow").iter(10_000):
        for name, column in zip(batch.column_names, batch.columns, strict=True):
            for strings in _strings(column.combine_chunks()):
                if not pc.any(pc.match_substring_regex(strings, pattern, ignore_case=False)).as_py():
                    continue
                for row, value in enumerate(column.to_pylist(), first):
                    for text in _texts(value):
                        if (kind := kind_of_secret(text, own)) is not None:
                            raise _refusal(f"row {row}, column {name!r} of {place}", kind)
        first += len(batch)


def _strings(array: Any) -> Iterator[Any]:
    """All strings in an array, whatever they are nested in."""
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _strings(chunk)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        yield array
    elif pa.types.is_struct(array.type):
        for part in array.flatten():
            yield from _strings(part)
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        yield from _strings(array.flatten())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _refusal(place: str, kind: str) -> PublishError:
    return PublishError(
        f"{place} holds what looks like {kind}; nothing was published. Take it out (and revoke it where it is real), "
        f"then publish again"
    )
