"""Tokens, keys and addresses of servers, checked before anything is sent, and never shown."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from fac_datasets.errors import OptionError


def credential(value: str | None, name: str) -> str | None:
    r"""A token or key as it is sent, without the whitespace around it; None where there is none.

    Args:
        value: as it was given.
        name: what to call it in an error, which never shows the value: libraries of HTTP do, when they refuse one.

    Raises:
        OptionError: it holds what no header can carry.

    Example:
        >>> credential("abc\n", "the token")
        'abc'
    """
    stripped = (value or "").strip()
    if re.search(r"[^!-~]", stripped):
        raise OptionError(
            f"{name} holds whitespace, a control character or a letter outside ASCII, which none does; copy it anew"
        )
    return stripped or None


def hub_token(given: str | None = None, *, ask: bool = True) -> str | None:
    """The token for the Hub, given or logged in; None where there is none.

    Called before each use of the Hub, also where its client finds the token itself.

    Args:
        given: takes the place of the one that is logged in.
        ask: whether a request may be made, by which the client renews a token that has run out.

    Raises:
        OptionError: see `credential`.
    """
    from huggingface_hub import get_token

    try:
        found = given or (get_token() if ask else os.environ.get("HF_TOKEN"))
    except UnicodeDecodeError:
        # The error holds the content of the file.
        raise OptionError("the file with the token for the Hub is no text; log in again with `hf auth login`") from None
    return credential(found, "the token for the Hub")


def server_address(value: str, name: str, example: str) -> str:
    r"""An address of a server as it is used, without the whitespace around it.

    Args:
        value: as it was given.
        name: what to call it in an error, which does not show the value: it may hold a password, or be a key.
        example: of a right one.

    Raises:
        OptionError: it is none that starts with `http://` or `https://`.

    Example:
        >>> server_address("http://localhost:6900\n", "url", "http://localhost:6900")
        'http://localhost:6900'
    """
    stripped = value.strip()
    try:
        parts = urlsplit(stripped)
        # Only reading the port finds that it is none.
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or re.search(r"[\s\0-\x1f\x7f]", stripped):
        raise OptionError(f"{name} is no address such as {example}")
    return stripped


def without_credentials(text: str) -> str:
    """A text whose addresses have no user, password or query.

    Example:
        >>> without_credentials("no answer from http://me:secret@host/v1?key=secret")
        'no answer from http://***@host/v1?***'
    """
    without_users = re.sub(r"(\w+://)[^/@\s'\"]+@", r"\1***@", text)
    return re.sub(r"(\w+://[^\s'\"?]*)\?[^\s'\"]+", r"\1?***", without_users)
