"""A connection to an Argilla server, with errors that say what to do."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fac_datasets.errors import MissingExtra, ReviewError
from fac_datasets.files.credentials import credential, server_address, without_credentials

if TYPE_CHECKING:
    import argilla

OLDEST_SERVER = (2, 1)
"""The first version that distributes records among annotators."""

_OLDEST = ".".join(map(str, OLDEST_SERVER))

DEFAULT_URL = "http://localhost:6900"

_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each repetition of a request: a minute, in which a server is restarted on a busy machine too."""

_PASSING = (429, 500, 502, 503, 504)

_FORBIDDEN = "it forbids this to the user of this key; push and pull with that of an owner, or of the workspace's admin"

Result = TypeVar("Result")


def connect(client: argilla.Argilla | None = None) -> argilla.Argilla:
    """A client of a server that can be worked with.

    Args:
        client: by default one for `ARGILLA_API_URL` with `ARGILLA_API_KEY`.

    Raises:
        OptionError: the address or the key is none.
        ReviewError: no server answers, it refuses the key, or it is too old.
        MissingExtra: the library `argilla` is not installed.
    """
    try:
        import argilla
        import httpx
        from argilla._exceptions import ArgillaCredentialsError, ArgillaError
    except ImportError as error:
        raise MissingExtra("review needs the library argilla; pip install 'fac-datasets[review]'") from error

    address = client.api_url if client is not None else os.environ.get("ARGILLA_API_URL") or DEFAULT_URL
    address = server_address(address, "ARGILLA_API_URL", DEFAULT_URL)
    # Causes are not named below: they would show all of the address.
    url = without_credentials(address)
    key = credential(os.environ.get("ARGILLA_API_KEY"), "ARGILLA_API_KEY") if client is None else None
    if client is None and key is None:
        raise ReviewError(
            f"there is no API key for the Argilla server at {url}; set ARGILLA_API_KEY to the one that the web UI "
            "shows under 'My settings'"
        )
    try:
        if client is None:
            # Without retries of its own a missing server is found missing at once.
            client = argilla.Argilla(api_url=address, api_key=key, retries=0)
        answer = client.http_client.get("/api/v1/version")
        version = str(answer.raise_for_status().json()["version"])
    except ArgillaCredentialsError:
        raise ReviewError(
            f"the Argilla server at {url} refuses the API key; copy it anew from 'My settings' in its web UI to "
            "ARGILLA_API_KEY"
        ) from None
    except httpx.TransportError as error:
        raise ReviewError(
            f"no Argilla server answers at {url} ({type(error).__name__}); set ARGILLA_API_URL, or see "
            "'fac-datasets review demo' for how to start one"
        ) from None
    except (ArgillaError, httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        raise ReviewError(
            f"what answers at {url} is no Argilla server, or one that is too old; check ARGILLA_API_URL, and that it "
            f"is version {_OLDEST} or later"
        ) from None
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_SERVER:
        raise ReviewError(f"the Argilla server at {url} is version {version}; review needs version {_OLDEST} or later")
    return client


def workspace_of(client: argilla.Argilla, name: str | None) -> argilla.Workspace:
    """A workspace by name, or the only one.

    Raises:
        ReviewError: there is none, or none of this name, or none was named and there are several.
    """
    workspaces = {workspace.name: workspace for workspace in repeated(client.workspaces.list)}
    if not workspaces:
        raise ReviewError(
            f"{without_credentials(client.api_url)} has no workspace for the user of this key; create one in the web "
            "UI, or ask the server's owner for access"
        )
    if name is None and len(workspaces) == 1:
        return next(iter(workspaces.values()))
    if name not in workspaces:
        wanted = "name one of the workspaces" if name is None else f"there is no workspace {name!r} among"
        raise ReviewError(
            f"{wanted} {sorted(workspaces)} of {without_credentials(client.api_url)}; create it in the web UI, or ask "
            "its owner for access"
        )
    return workspaces[name]


def repeated(request: Callable[[], Result]) -> Result:
    """What a request gives, repeated while the server is away or overloaded.

    Raises:
        ReviewError: it is away for too long, or refuses.
    """
    import httpx
    from argilla._exceptions import ArgillaAPIError, ArgillaError, ForbiddenError, InternalServerError

    for wait in (*_WAITS, None):
        try:
            return request()
        except httpx.TransportError as error:
            problem, passing = f"it does not answer ({type(error).__name__})", True
            cause: Exception = error
        except (httpx.DecodingError, ValueError) as error:
            # A proxy that shows a page of its own while the server is away.
            problem, passing, cause = "what answers is not Argilla's JSON", True, error
        except httpx.HTTPStatusError as error:
            passing = error.response.status_code in _PASSING
            answer = f"it answers {error.response.status_code} {error.response.text[:300]}".strip()
            problem, cause = _FORBIDDEN if error.response.status_code == 403 else answer, error
        except ArgillaError as error:
            # Those with a class of their own say so of themselves; their status is not always the server's.
            passing = type(error) in (ArgillaAPIError, InternalServerError) and error.status_code in _PASSING
            answer = str(error) or str(error.__cause__)
            problem, cause = _FORBIDDEN if isinstance(error, ForbiddenError) else answer, error
        if not passing or wait is None:
            break
        time.sleep(wait)
    raise ReviewError(
        f"the Argilla server did not do what was asked: {problem}; what was sent before is kept, and the same command "
        "goes on from there"
    ) from cause
