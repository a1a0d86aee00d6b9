"""What can go wrong between here and the Hub, which of it passes, and how to tell people."""

from __future__ import annotations

import traceback
from json import JSONDecodeError

from httpx2 import TimeoutException, TransportError
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from fac_datasets.errors import PublishError
from fac_datasets.files.retrying import growing_wait, wait_after


class NotDone(Exception):
    """Something that was answered with success and did not happen: the client takes any page for success, such as that
    of a proxy."""


FAILURES = (
    HfHubHTTPError, TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError, RuntimeError, JSONDecodeError,
    NotDone,
)  # fmt: skip
"""What requests of the client end with; uploads wrap their reasons in RuntimeError, and what a proxy answers is no
JSON."""

_CONFLICTS = (409, 412)

_TRIES_OF_SILENCE = 3
"""Of a request that a server takes and does not answer."""


def reason_of(error: BaseException) -> BaseException:
    """The refusal or broken connection behind an error of the client, or the error itself."""
    known = HfHubHTTPError | TransportError | OfflineModeIsEnabled | JSONDecodeError
    at: BaseException | None = error
    while at is not None and not isinstance(at, known):
        at = at.__cause__
    return error if at is None else at


def status_of(error: BaseException) -> int | None:
    """Status of the answer that an error is about; None where there was none."""
    reason = reason_of(error)
    return int(reason.response.status_code) if isinstance(reason, HfHubHTTPError) else None


def pause_after(error: BaseException, attempt: int, *, conflicts_pass: bool = False) -> float | None:
    """Seconds until another try; None where none would help.

    Args:
        error: of the client.
        attempt: tries so far, less one.
        conflicts_pass: whether a conflict may have passed by then.
    """
    reason = reason_of(error)
    if isinstance(reason, TimeoutException):
        # Each try has already waited long, and the client itself has tried some requests several times.
        return growing_wait(attempt) if attempt + 1 < _TRIES_OF_SILENCE else None
    if isinstance(reason, TransportError | JSONDecodeError | NotDone):
        return growing_wait(attempt)
    if not isinstance(reason, HfHubHTTPError):
        return None
    status = int(reason.response.status_code)
    if conflicts_pass and status in _CONFLICTS:
        return growing_wait(attempt)
    return wait_after(status, reason.response.headers.get("Retry-After"), attempt)


def cause_without(error: BaseException, token: str) -> BaseException | None:
    """What an explained error came from; None where it would show the token, which a server may have answered with."""
    return None if token in "".join(traceback.format_exception(error)) else error


def explained(error: BaseException, repo_id: str, token: str) -> PublishError:
    """An error that says what to do, without the token.

    Args:
        error: of the client.
        repo_id: what was being published to.
        token: in use.
    """
    reason, status = reason_of(error), status_of(error)
    # What the Hub says itself; the rest of the client's message is for developers.
    own_words = reason.server_message if isinstance(reason, HfHubHTTPError) else None
    said = (own_words or str(reason).partition("\n")[0]).replace(token, "***").strip()
    again = "; what was uploaded is kept, and the same command goes on"
    if isinstance(reason, OfflineModeIsEnabled):
        return PublishError(f"{repo_id} cannot be published, since HF_HUB_OFFLINE is set; unset it")
    if isinstance(reason, TransportError):
        return PublishError(f"the Hub cannot be reached for {repo_id} ({type(reason).__name__}: {said}){again}")
    if isinstance(reason, NotDone):
        return PublishError(f"{said} for {repo_id}, though it answered so; look for a proxy in between{again}")
    if isinstance(reason, JSONDecodeError):
        return PublishError(f"what answers in place of the Hub for {repo_id} speaks no JSON; look for a proxy{again}")
    if isinstance(reason, GatedRepoError):
        return PublishError(f"{repo_id} is gated; ask for access on its page, or publish elsewhere")
    if status == 401 and not isinstance(reason, RepositoryNotFoundError):
        return PublishError("the Hub does not know the token; log in again with `hf auth login`, or mend HF_TOKEN")
    if status == 403:
        return PublishError(
            f"the token may not write to {repo_id}; give it the right at https://huggingface.co/settings/tokens, or "
            f"publish elsewhere. The Hub says: {said}"
        )
    if isinstance(reason, RepositoryNotFoundError):
        return PublishError(f"there is no {repo_id}, or the token may not see it; check the name and the token")
    if status is not None:
        return PublishError(f"the Hub did not take what was published to {repo_id}: HTTP {status}, {said}{again}")
    return PublishError(f"{repo_id} cannot be published: {said}{again}")
