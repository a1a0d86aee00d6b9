"""Which version of a record each response was given to: the server does not know, so that every record carries it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

BETWEEN = ""
"""Subject of a record while it changes: what is answered then is about a text that nobody knows."""


class Given(NamedTuple):
    """What a response was given to."""

    subject: str
    """Digest of what the record was about."""
    status: str
    """That it has on the server: `submitted`, `draft` or `discarded`."""
    submitted: bool
    """Its reviewer submitted it; a push may have made a draft of it since, because the record changed."""
    stamps: list[str]
    """Of the response, and of the draft that may be made of it."""

    def status_about(self, subject: str) -> str:
        """The status that it should have where the record is about this: what is submitted about it, and only that."""
        if self.status == "discarded" or not self.submitted:
            return self.status
        return "submitted" if self.subject == subject else "draft"

    def mark(self) -> dict[str, Any]:
        """What the record has to carry for `given` to find this again, as long as nobody changes the response."""
        return {"subject": self.subject, "submitted": self.submitted, "stamps": self.stamps}


def given(record: Mapping[str, Any], otherwise: str | None = None) -> dict[str, Given]:
    """What each response of a record was given to, by its id.

    Args:
        record: as the server's API gives it, with responses.
        otherwise: what those were given to that the record carries no mark of; by default what it is about now.
    """
    metadata = record.get("metadata") or {}
    marks = metadata.get("answered") or {}
    present = metadata.get("subject", BETWEEN) if otherwise is None else otherwise
    found = {}
    for response in record.get("responses") or []:
        stamps, mark = [_stamp(response), _stamp(response | {"status": "draft"})], marks.get(response["id"])
        if mark is not None and stamps[0] in mark["stamps"]:
            found[response["id"]] = Given(mark["subject"], response["status"], mark["submitted"], stamps)
        else:
            found[response["id"]] = Given(present, response["status"], response["status"] == "submitted", stamps)
    return found


def marks(of_responses: Mapping[str, Given], about: str | None = None) -> dict[str, dict[str, Any]]:
    """The metadata `answered` of a record with these responses.

    Args:
        of_responses: by id.
        about: leave out those to this subject, which need no mark where the record is about it: with one, a draft that
            its reviewer made of what was submitted would look like ours.
    """
    return {
        id: each.mark()
        for id, each in of_responses.items()
        if each.subject != about or each.status != each.status_about(about)
    }


def unmarked(record: Mapping[str, Any]) -> bool:
    """Whether a record has responses that it carries no mark of."""
    known = (record.get("metadata") or {}).get("answered") or {}
    return any(
        response["id"] not in known or _stamp(response) not in known[response["id"]]["stamps"]
        for response in record.get("responses") or []
    )


def digest(content: Any) -> str:
    """A short name for what JSON takes."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _stamp(response: Mapping[str, Any]) -> str:
    """A response as it was given: a later change of it has another stamp.

    Of a draft, what counts is what it says, so that the stamp of one that we will make is known before.
    """
    if response["status"] == "draft":
        return f"={digest(response.get('values') or {})}"
    return f"@{response['updated_at']}"
