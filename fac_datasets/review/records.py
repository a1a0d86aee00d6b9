"""Records of a review on an Argilla server: sent once, kept up to date, and read back with every response."""

from __future__ import annotations

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
from fac_datasets.review.versions import BETWEEN, Given, digest, given, marks, unmarked

if TYPE_CHECKING:
    import argilla

    from fac_datasets.review.form import Form

logger = logging.getLogger(__name__)

_PAGE = 250
"""Records read at once."""

_FIRST_BATCH, _LARGEST_BATCH = 32, 500
"""Records sent at once; 500 is the most that a server takes."""

_LONGEST_AGENT = 200

_BOOKKEEPING = ("digest", "subject", "answered")
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
        return digest([self.subject, dict(self.fields), dict(self.metadata), list(self.suggestions)])


class Answer(NamedTuple):
    """One reviewer's response to a record."""

    reviewer: str
    status: str
    """`submitted`, `draft` or `discarded`."""
    outdated: bool
    """It was given to another subject than was asked for."""
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
    restored: int = 0
    """Responses that count again, because their subject is back."""

    def __str__(self) -> str:
        text = f"{self.added:,} records added, {self.updated:,} updated, {self.unchanged:,} unchanged"
        again = f"; {self.outdated:,} responses are about an earlier version: those submitted are drafts again"
        back = f"; {self.restored:,} responses to what is there again count again"
        return text + (again if self.outdated else "") + (back if self.restored else "")


class _Stored(NamedTuple):
    """What is known of a record on the server."""

    id: str
    digest: str
    subject: str
    given: dict[str, Given]
    """Its responses, by id."""
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
    def open(cls, name: str, client: argilla.Argilla | None, workspace: str | None, form: Form) -> ReviewDataset:
        """Find a dataset to push to; make it where there is none, and finish what a killed push left half made.

        Raises:
            ReviewError: no server, key or workspace; or it has other settings than the form.
        """
        client = connect(client)
        home = workspace_of(client, workspace)
        found = _datasets(client, home).get(name)
        if found is None:
            form.begin(client, name, home)
            found = _datasets(client, home).get(name)
        if found is None:
            raise ReviewError(f"{client.api_url} made dataset {name!r}, but does not show it; push again")
        dataset = _with_settings(found, client)
        if found.status == "draft":
            form.finish(dataset, client)
        form.require_same(dataset)
        return cls(name, client, dataset, frozenset({*_BOOKKEEPING, *form.metadata}))

    @classmethod
    def find(cls, name: str, client: argilla.Argilla | None, workspace: str | None, form: Form) -> ReviewDataset:
        """Find a dataset to pull from.

        Args:
            form: what every dataset of the kind shows and asks.

        Raises:
            ReviewError: no server, key or workspace; or there is no such dataset, or one of another kind.
        """
        client = connect(client)
        home = workspace_of(client, workspace)
        names = _datasets(client, home)
        if name not in names or names[name].status == "draft":
            there = sorted(each for each, found in names.items() if found.status != "draft")
            raise ReviewError(
                f"workspace {home.name!r} of {client.api_url} has no dataset {name!r}; push it first, or name another "
                f"workspace, or one of its datasets: {there}"
            )
        dataset = _with_settings(names[name], client)
        form.require_kind(dataset)
        return cls(name, client, dataset)

    @property
    def min_submitted(self) -> int:
        """Reviewers that each record needs."""
        return int(self.dataset.settings.distribution.min_submitted)

    def push(self, records: Iterable[ReviewRecord], total: int) -> PushReport:
        """Add records that are not there yet and update those that are different; responses are kept.

        What a push that was interrupted has sent already is not sent again. Answers to a subject that has changed are
        asked for again: they become drafts, also those that were given while this push was on its way. Where a subject
        is back, the drafts made of answers to it are submitted again.

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
        done = Counter[str]()
        batch: list[tuple[ReviewRecord, _Stored | None]] = []
        size = _FIRST_BATCH
        quiet = datasets.utils.are_progress_bars_disabled()
        with tqdm(total=total, unit="record", desc="push", disable=quiet) as bar:
            for record in records:
                known = stored.get(record.id)
                if known is not None and known.digest == record.digest and trusted:
                    done["unchanged"] += 1
                    self._ask_again(known.id, known.given, known.subject, done)
                    bar.update()
                    continue
                batch.append((record, known))
                if len(batch) >= size:
                    size = self._send(batch, done)
                    bar.update(len(batch))
                    batch = []
            if batch:
                self._send(batch, done)
                bar.update(len(batch))
        return PushReport(**done)

    def answers(self, ids: Sequence[str], subjects: Iterable[Any]) -> list[list[Answer]]:
        """All responses to each of these records, the earliest first; says where there are responses to others.

        Args:
            ids: of the records.
            subjects: what the questions are about; what was pushed may be about something else.
        """
        wanted, found, others = dict(zip(ids, map(digest, subjects), strict=True)), dict[str, list[Answer]](), 0
        for record in self._stored():
            responses = sorted(record.get("responses") or [], key=lambda response: str(response["inserted_at"]))
            if record["external_id"] not in wanted:
                others += bool(responses)
                continue
            answered = given(record)
            found[record["external_id"]] = [
                self._answer(response, answered[response["id"]], wanted[record["external_id"]])
                for response in responses
            ]
        if wanted and not found:
            raise ReviewError(
                f"dataset {self.name!r} has no record of any of these rows; name the one that they were pushed to, or "
                "push them first"
            )
        if others:
            logger.warning("%d records of %r with responses are not among these rows; pull them too", others, self.name)
        return [found.get(id, []) for id in ids]

    def _send(self, batch: Sequence[tuple[ReviewRecord, _Stored | None]], done: Counter[str]) -> int:
        """Send a batch and count what is done; the size that the next one should have."""
        started = time.monotonic()
        items = {record.id: self._item(record, known) for record, known in batch}
        present = {record.id: known for record, known in batch if known is not None}
        # First, so that a push that is killed here finds the records as they were, and does it again.
        for id, known in present.items():
            self._remove_suggestions(known, items[id])
        changed = {id for id, known in present.items() if known.subject != items[id]["metadata"]["subject"]}
        # As of none until it is known which responses the records had: a push that is killed here does it again.
        hidden = {"digest": "", "subject": BETWEEN}
        sent = self._put(
            [item | {"metadata": item["metadata"] | hidden} if id in changed else item for id, item in items.items()]
        )
        answered = {id: known.given for id, known in present.items()}
        if changed:
            earlier = {id: present[id].subject for id in changed}
            answered |= self._settle({id: items[id] for id in changed}, earlier, sent)
        for id, known in present.items():
            if id in changed:
                done["outdated"] += sum(each.subject == known.subject for each in answered[id].values())
            self._ask_again(known.id, answered[id], items[id]["metadata"]["subject"], done)
        done["updated"] += len(present)
        done["added"] += len(batch) - len(present)
        rate = len(batch) / max(time.monotonic() - started, 1e-3)
        return int(min(max(_BATCH_SECONDS * rate, len(batch) / 2, 1), 2 * len(batch), _LARGEST_BATCH))

    def _answer(self, response: Mapping[str, Any], answered: Given, subject: str) -> Answer:
        # What a push has made a draft of is as good as submitted where it is about this.
        counts = answered.status_about(subject) == "submitted"
        return Answer(
            self._username(response.get("user_id")),
            "submitted" if counts else response["status"],
            answered.subject != subject,
            # A record may be discarded without a single answer, and has no values then.
            {name: each["value"] for name, each in (response.get("values") or {}).items()},
        )

    def _put(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add or change records; what the server has then, with responses."""
        sent = self._request("PUT", f"datasets/{self.dataset.id}/records/bulk", json={"items": items})
        records: list[dict[str, Any]] = sent["items"]
        return records

    def _settle(
        self, items: Mapping[str, dict[str, Any]], earlier: Mapping[str, str], sent: list[dict[str, Any]]
    ) -> dict[str, dict[str, Given]]:
        """Let records that have changed be about their new subject; what each of their responses was given to.

        A response may be on its way while its record changes, and nobody sees a new text and answers within a second.
        So all that is there when the record is written once more counts as given to the earlier subject.

        Args:
            items: as they are to be, by id.
            earlier: what they were about.
            sent: records that the server has after the change.
        """
        answered: dict[str, dict[str, Given]] = {}
        unsettled = {*items}
        while unsettled:
            for record in sent:
                id = record["external_id"]
                if id in unsettled:
                    answered[id] = given(record, earlier[id])
                    items[id]["metadata"]["answered"] = marks(answered[id])
            sent = self._put(
                [{part: items[id][part] for part in ("external_id", "fields", "metadata")} for id in unsettled]
            )
            unsettled = {record["external_id"] for record in sent if unmarked(record)}
        return answered

    def _item(self, record: ReviewRecord, known: _Stored | None) -> dict[str, Any]:
        answered = {}
        if known is not None:
            changed = known.subject != digest(record.subject)
            answered = marks(known.given, None if changed else known.subject)
        return {
            "external_id": record.id,
            "fields": dict(record.fields),
            "metadata": {
                **(known.others if known is not None else {}),
                **{name: value for name, value in record.metadata.items() if _given(value)},
                "digest": record.digest,
                "subject": digest(record.subject),
                "answered": answered,
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

    def _remove_suggestions(self, known: _Stored, item: Mapping[str, Any]) -> None:
        """Remove suggestions that a record has on the server but no longer has here."""
        kept = {each["question_id"] for each in item["suggestions"]}
        gone = [id for question, id in known.suggestions.items() if question not in kept]
        if gone:
            self._request("DELETE", f"records/{known.id}/suggestions", params={"ids": ",".join(gone)})

    def _ask_again(self, id: str, answered: Mapping[str, Given], subject: str, done: Counter[str]) -> None:
        """Make submitted responses to another subject drafts, with all that was answered, and undo that for this one.

        A record with as many submitted responses as it needs would be shown to nobody again.
        """
        if all(each.status == each.status_about(subject) for each in answered.values()):
            return
        # Read anew, so that what was answered since is not overwritten.
        record = self._request("GET", f"records/{id}")
        answered, restored = given(record), set()
        for response in record["responses"]:
            status = answered[response["id"]].status_about(subject)
            if status != response["status"]:
                self._request(
                    "PUT", f"responses/{response['id']}", json={"values": response["values"], "status": status}
                )
                if status == "submitted":
                    restored.add(response["id"])
        if restored:
            rest = marks({id: each for id, each in answered.items() if id not in restored}, subject)
            self._request("PATCH", f"records/{id}", json={"metadata": record["metadata"] | {"answered": rest}})
        done["restored"] += len(restored)

    def _stored(self) -> Iterator[dict[str, Any]]:
        """All records on the server as its API gives them, page by page."""
        params: dict[str, Any] = {"limit": _PAGE, "include": ["responses", "suggestions"]}
        seen: set[str] = set()
        read, total = 0, 1
        while read < total:
            params["offset"] = read
            page = self._request("GET", f"datasets/{self.dataset.id}/records", params=params)
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
        metadata = record.get("metadata") or {}
        return _Stored(
            record["id"],
            metadata.get("digest", ""),
            metadata.get("subject", BETWEEN),
            given(record),
            {each["question_id"]: each["id"] for each in record.get("suggestions") or []},
            {name: value for name, value in metadata.items() if name not in self._own_metadata},
        )

    def _request(self, method: str, path: str, **options: Any) -> Any:
        """What the server answers, asked again while it is away."""

        def request() -> Any:
            answer = self.client.http_client.request(method, f"/api/v1/{path}", **options).raise_for_status()
            return answer.json() if answer.content else None

        return repeated(request)

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


def _datasets(client: argilla.Argilla, workspace: argilla.Workspace) -> dict[str, Any]:
    """The datasets of a workspace, by name."""
    return {each.name: each for each in repeated(lambda: client.api.datasets.list(workspace.id))}


def _with_settings(found: Any, client: argilla.Argilla) -> argilla.Dataset:
    """A dataset whose fields, questions and guidelines are known."""
    import argilla

    dataset = argilla.Dataset.from_model(model=found, client=client)
    repeated(dataset.settings.get)
    return dataset


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
