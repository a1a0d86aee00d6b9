"""Records of a review on an Argilla server: sent once, kept up to date, and read back with every response."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.errors import ColumnError, ReviewError
from fac_datasets.review.server import connect, repeated, workspace_of

if TYPE_CHECKING:
    import argilla

    from fac_datasets.review.form import Form

logger = logging.getLogger(__name__)

_PAGE = 250
"""Records read at once."""

_FIRST_BATCH, _LARGEST_BATCH = 32, 500
"""Records sent at once; 500 is the most that a server takes."""

_LONGEST_AGENT = 200

_BOOKKEEPING = ("digest", "subject", "outdated")
"""Metadata by which a later push knows what was pushed."""

_BATCH_SECONDS = 2.0
"""Batches grow or shrink until one takes about this long, so that a slow server is given less at once."""


class Suggestion(NamedTuple):
    """An answer that a model has given already."""

    question: str
    value: Any
    agent: str | None
    score: float | None


@dataclass(frozen=True)
class ReviewRecord:
    """What is shown about one feature or one sample."""

    id: str
    subject: Any
    """What the questions are about, as JSON takes it; answers to another subject are out of date."""
    fields: Mapping[str, str]
    metadata: Mapping[str, Any]
    suggestions: Sequence[Suggestion] = ()

    @property
    def digest(self) -> str:
        """Tells whether a record on the server is still this one."""
        return _digest([self.subject, dict(self.fields), dict(self.metadata), list(self.suggestions)])


class Answer(NamedTuple):
    """One reviewer's response to a record."""

    reviewer: str
    status: str
    """`submitted`, `draft` or `discarded`."""
    outdated: bool
    """It was given to another subject than the record has now, or than was asked for."""
    values: dict[str, Any]


@dataclass(frozen=True)
class PushReport:
    """What a push did."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    outdated: int = 0
    """Responses whose subject changed. They are kept, and marked when they are pulled; those submitted are drafts
    again, so that their reviewers find the record under 'Draft', with all that they answered."""

    def __str__(self) -> str:
        text = f"{self.added:,} records added, {self.updated:,} updated, {self.unchanged:,} unchanged"
        again = f"; {self.outdated:,} responses are about an earlier version: those submitted are drafts again"
        return text + (again if self.outdated else "")


class _Stored(NamedTuple):
    """What is known of a record on the server."""

    id: str
    digest: str
    subject: str
    outdated: list[str]
    responses: dict[str, str]
    """Stamp of each, and the one that it has as a draft with the same values."""
    submitted: list[str]
    """Stamps of those submitted."""
    suggestions: dict[str, str]
    """Ids of suggestions, by id of their question."""
    others: dict[str, Any]
    """Metadata that somebody else added."""


@dataclass
class ReviewDataset:
    """A dataset on an Argilla server, whose settings are those of a form."""

    name: str
    client: argilla.Argilla
    dataset: argilla.Dataset
    _own_metadata: frozenset[str] = frozenset()
    """Names of metadata that a push sets."""
    _usernames: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls, name: str, client: argilla.Argilla | None, workspace: str | None, form: Form | None = None
    ) -> ReviewDataset:
        """Find a dataset; with a form, make it where there is none, and anew what a killed push left half made.

        Raises:
            ReviewError: no server, key or workspace; there is no such dataset; or it has other settings than the form.
        """
        client = connect(client)
        import argilla

        home = workspace_of(client, workspace)
        found = next((each for each in repeated(lambda: client.api.datasets.list(home.id)) if each.name == name), None)
        dataset = None
        if found is not None:
            dataset = argilla.Dataset.from_model(model=found, client=client)
            repeated(dataset.settings.get)
            if form is not None and found.status == "draft":
                # A push that was killed may have left it; nobody can have answered in it.
                form.require_begun(dataset)
                repeated(partial(client.api.datasets.delete, found.id))
                dataset = None
        if dataset is None and form is None:
            raise ReviewError(
                f"workspace {home.name!r} of {client.api_url} has no dataset {name!r}; push it first, or name another "
                "workspace"
            )
        if dataset is None:
            assert form is not None
            dataset = form.create(client, name, home)
        elif form is not None:
            form.require_same(dataset)
        return cls(name, client, dataset, frozenset({*_BOOKKEEPING, *(form.metadata if form is not None else ())}))

    @property
    def min_submitted(self) -> int:
        """Reviewers that each record needs."""
        return int(self.dataset.settings.distribution.min_submitted)

    def push(self, records: Iterable[ReviewRecord], total: int) -> PushReport:
        """Add records that are not there yet and update those that are different; responses are kept.

        What a push that was interrupted has sent already is not sent again. Answers to a subject that has changed are
        asked for again: they become drafts.

        Args:
            records: with different ids.
            total: number of records, for the progress bar.

        Raises:
            ReviewError: the server is away for too long, or refuses a record.
        """
        import datasets
        from tqdm.auto import tqdm

        stored = {each["external_id"]: self._known(each) for each in self._stored()}
        # A server that was killed may have stored records that it does not find: they are sent again.
        trusted = repeated(self.dataset.progress)["total"] == len(stored)
        added = updated = unchanged = outdated = 0
        batch: list[tuple[ReviewRecord, _Stored | None]] = []
        size = _FIRST_BATCH
        quiet = datasets.utils.are_progress_bars_disabled()
        with tqdm(total=total, unit="record", desc="push", disable=quiet) as bar:
            for record in records:
                known = stored.get(record.id)
                if known is not None and known.digest == record.digest and trusted:
                    unchanged += 1
                    self._ask_again(known, known.outdated)
                    bar.update()
                    continue
                batch.append((record, known))
                added += known is None
                updated += known is not None
                if known is not None and known.subject != _digest(record.subject):
                    outdated += len(known.responses.keys() - {*known.outdated})
                if len(batch) >= size:
                    size = self._send(batch)
                    bar.update(len(batch))
                    batch = []
            if batch:
                self._send(batch)
                bar.update(len(batch))
        return PushReport(added, updated, unchanged, outdated)

    def answers(self, ids: Sequence[str], subjects: Iterable[Any]) -> list[list[Answer]]:
        """All responses to each of these records, the earliest first; says where there are responses to others.

        Args:
            ids: of the records.
            subjects: what the questions are about; what was pushed may be about something else.
        """
        wanted, found, others = dict(zip(ids, map(_digest, subjects), strict=True)), dict[str, list[Answer]](), 0
        for record in self._stored():
            responses = sorted(record.get("responses") or [], key=lambda response: str(response["inserted_at"]))
            if record["external_id"] not in wanted:
                others += bool(responses)
                continue
            known = self._known(record)
            found[record["external_id"]] = [
                Answer(
                    self._username(response.get("user_id")),
                    response["status"],
                    _stamp(response) in known.outdated or known.subject != wanted[record["external_id"]],
                    # A record may be discarded without a single answer, and has no values then.
                    {name: each["value"] for name, each in (response.get("values") or {}).items()},
                )
                for response in responses
            ]
        if others:
            logger.warning("%d records of %r with responses are not among these rows; pull them too", others, self.name)
        return [found.get(id, []) for id in ids]

    def _send(self, batch: Sequence[tuple[ReviewRecord, _Stored | None]]) -> int:
        """Send a batch; the size that the next one should have."""
        started = time.monotonic()
        items = [self._item(record, known) for record, known in batch]
        # First, so that a push that is killed here finds the records as they were, and does it again.
        for (_, known), item in zip(batch, items, strict=True):
            self._remove_suggestions(known, item)
        self._request("PUT", f"datasets/{self.dataset.id}/records/bulk", json={"items": items})
        for (_, known), item in zip(batch, items, strict=True):
            if known is not None:
                self._ask_again(known, item["metadata"]["outdated"])
        rate = len(batch) / max(time.monotonic() - started, 1e-3)
        return int(min(max(_BATCH_SECONDS * rate, len(batch) / 2, 1), 2 * len(batch), _LARGEST_BATCH))

    def _item(self, record: ReviewRecord, known: _Stored | None) -> dict[str, Any]:
        outdated = known.outdated if known is not None else []
        if known is not None and known.subject != _digest(record.subject):
            # With the stamps that they will have as drafts, so that these are known from now on, whatever happens next.
            outdated = sorted({*outdated, *known.responses.keys(), *known.responses.values()})
        return {
            "external_id": record.id,
            "fields": dict(record.fields),
            "metadata": {
                **(known.others if known is not None else {}),
                **{name: value for name, value in record.metadata.items() if _given(value)},
                "digest": record.digest,
                "subject": _digest(record.subject),
                "outdated": outdated,
            },
            "suggestions": [
                {
                    "question_id": str(self.dataset.settings.questions[each.question].id),
                    "value": each.value,
                    "agent": _agent(each.agent),
                    "score": each.score if _given(each.score) else None,
                    "type": "model",
                }
                for each in record.suggestions
            ],
        }

    def _remove_suggestions(self, known: _Stored | None, item: Mapping[str, Any]) -> None:
        """Remove suggestions that a record has on the server but no longer has here."""
        kept = {each["question_id"] for each in item["suggestions"]}
        gone = [id for question, id in known.suggestions.items() if question not in kept] if known is not None else []
        if known is not None and gone:
            self._request("DELETE", f"records/{known.id}/suggestions", params={"ids": ",".join(gone)})

    def _ask_again(self, known: _Stored, outdated: Sequence[str]) -> None:
        """Make submitted responses to an earlier subject drafts, with all that was answered.

        A record with as many submitted responses as it needs would be shown to nobody again.
        """
        if {*known.submitted}.isdisjoint(outdated):
            return
        # Read anew, so that what was answered since is not overwritten.
        for response in self._request("GET", f"records/{known.id}").json()["responses"]:
            if response["status"] == "submitted" and _stamp(response) in outdated:
                draft = {"values": response["values"], "status": "draft"}
                self._request("PUT", f"responses/{response['id']}", json=draft)

    def _stored(self) -> Iterator[dict[str, Any]]:
        """All records on the server as its API gives them, page by page."""
        params: dict[str, Any] = {"limit": _PAGE, "include": ["responses", "suggestions"]}
        seen: set[str] = set()
        read, total = 0, 1
        while read < total:
            params["offset"] = read
            page = self._request("GET", f"datasets/{self.dataset.id}/records", params=params).json()
            total = page["total"]
            if not page["items"]:
                break
            read += len(page["items"])
            # Records may be added or removed while they are read, which moves the others to other pages.
            yield from (record for record in page["items"] if record["id"] not in seen)
            seen |= {record["id"] for record in page["items"]}
        if len(seen) < total:
            raise ReviewError(
                f"dataset {self.name!r} has {total:,} records, but {len(seen):,} could be read: it was changed "
                "meanwhile; run the same command again"
            )

    def _known(self, record: Mapping[str, Any]) -> _Stored:
        metadata, responses = record.get("metadata") or {}, record.get("responses") or []
        return _Stored(
            record["id"],
            metadata.get("digest", ""),
            metadata.get("subject", ""),
            metadata.get("outdated") or [],
            {_stamp(response): _stamp(response | {"status": "draft"}) for response in responses},
            [_stamp(response) for response in responses if response["status"] == "submitted"],
            {each["question_id"]: each["id"] for each in record.get("suggestions") or []},
            {name: value for name, value in metadata.items() if name not in self._own_metadata},
        )

    def _request(self, method: str, path: str, **options: Any) -> Any:
        """The answer to a request, repeated while the server is away."""
        return repeated(
            lambda: self.client.http_client.request(method, f"/api/v1/{path}", **options).raise_for_status()
        )

    def _username(self, user_id: str | None) -> str:
        """Name of a user; the id where this client may not see it."""
        if user_id is None:
            return "deleted user"
        if user_id not in self._usernames:
            # Those who may read all responses may list the workspace's users; owners, who need not be among them, any.
            for path in (f"workspaces/{self.dataset.workspace.id}/users", "users"):
                answer = repeated(partial(self.client.http_client.get, f"/api/v1/{path}"))
                users = answer.json()["items"] if answer.is_success else []
                self._usernames |= {user["id"]: user["username"] for user in users}
            self._usernames.setdefault(user_id, user_id)
        return self._usernames[user_id]


def _stamp(response: Mapping[str, Any]) -> str:
    """A response as it was given: a later change of it has another stamp.

    Of a draft, what counts is what it says, so that the stamp of one that we will make is known before.
    """
    if response["status"] == "draft":
        return f"{response['id']}={_digest(response.get('values') or {})}"
    return f"{response['id']}@{response['updated_at']}"


def _given(value: Any) -> bool:
    """Whether there is a value: null is none, nor is what pandas makes of a missing number."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def require_different(ids: Sequence[Any], what: str) -> None:
    """Raise ColumnError where two rows would be one record."""
    twice = [id for id, rows in Counter(ids).items() if rows > 1]
    if twice:
        raise ColumnError(f"{what} {twice[0]} is in more than one row, and each is one record; keep one row of each")


def _agent(name: str | None) -> str | None:
    """The name of a model in the characters that a server takes."""
    written = re.sub(r"[^a-zA-Z0-9_:./\s-]", "_", name or "")[:_LONGEST_AGENT]
    return written if re.search("[a-zA-Z0-9]", written) else None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
