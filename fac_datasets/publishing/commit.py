"""One commit for one publication, made once however often the connection breaks.

The client does not repeat a commit, and rightly: it may have taken effect although its answer was lost. Here each
commit says in its description which publication it is, so that it can be looked for before it is sent again.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from httpx2 import Request, Timeout
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, hf_hub_download
from huggingface_hub.errors import FileMetadataError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

from fac_datasets.errors import PublishError
from fac_datasets.files.credentials import hub_token
from fac_datasets.publishing.failures import FAILURES, NotDone, cause_without, explained, pause_after, reason_of
from fac_datasets.publishing.target import HubTarget, Kind

if TYPE_CHECKING:
    from huggingface_hub.hf_api import CommitInfo, GitCommitInfo, GitRefs

logger = logging.getLogger(__name__)

CARD = "README.md"

MANIFEST = ".fac-datasets.json"
"""Lists the files of a publication: what the next one may replace and remove."""

TRIES = 6
"""Of each request, and of the commit."""

SILENCE = 90.0
"""Seconds without a byte, after which a connection is taken for broken."""

_PULL_REQUESTS = 20
"""Newest pull requests among which that of an interrupted publication is looked for."""

_LARGEST_SHOWN = 50 << 20
"""Bytes of a file that is fetched to be looked through."""

_OURS = "Published by fac-datasets: "
"""Before what tells one publication's commit from all others, in its description."""

_FIRST = "initial commit"
"""Title of the commit that the Hub makes with a repository."""

Content = bytes | Path
T = TypeVar("T")


class Commit(NamedTuple):
    """What a publication has come to."""

    url: str
    """Of the commit, or of the pull request."""
    commit: str
    """Its id."""
    changed: tuple[str, ...]
    """Files that were written or removed; none where all was there already."""
    card: str
    """README.md as it stands there now."""


Look = Callable[[Mapping[str, Content]], None]
"""Raises where a file must not become public."""

MakeCard = Callable[[str | None, list[str]], str]
"""Makes README.md from the one that is there, or None, and the other files there that were not published by us."""


def commit_files(
    target: HubTarget,
    kind: Kind,
    files: Mapping[str, Content],
    make_card: MakeCard,
    *,
    title: str,
    look: Look = lambda _files: None,
) -> Commit:
    """Bring a repository to a state, by one commit.

    Run again after whatever went wrong, it goes on and ends in the same state. Files are uploaded before the commit;
    those that the Hub holds already are not sent. Files of an earlier publication are replaced, and removed where they
    are not in `files`; all others stay.

    Args:
        target: where to.
        kind: of the repository.
        files: by path, without the card.
        make_card: see `MakeCard`.
        title: of the commit.
        look: where a private repository becomes public, sees the files at the heads of all its branches.

    Raises:
        PublishError: the Hub refuses, or cannot be reached; somebody else has committed in between; or a file is there
            already that was not published by us.
    """
    try:
        with _impatient():
            return _Publication(target, kind).make(files, make_card, title, look)
    except PublishError:
        raise
    except OSError as error:
        raise PublishError(
            f"{target.repo} cannot be published: {error}; nothing was committed, and the same command goes on"
        ) from error


def manifest_of(files: Iterable[str]) -> bytes:
    """Content of the file that lists the files of a publication."""
    return (json.dumps({"files": sorted(files)}, indent=2) + "\n").encode()


class _Publication:
    """One publication on its way."""

    def __init__(self, target: HubTarget, kind: Kind) -> None:
        found = hub_token(target.token)
        if not found:
            raise PublishError(
                "there is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN to a token with write "
                "access from https://huggingface.co/settings/tokens"
            )
        self.token, self.target, self.kind = found, target, kind
        self.api = HfApi(token=self.token)
        self._digests: dict[Content, str] = {}

    def make(self, files: Mapping[str, Content], make_card: MakeCard, title: str, look: Look) -> Commit:
        """See `commit_files`."""
        self._require_rights()
        private = self._open()
        parent = self._head()
        there = self._files(parent)
        earlier = self._earlier(parent) if MANIFEST in there else set()
        written_anew = {*earlier, CARD, MANIFEST}
        others = sorted(there.keys() - written_anew - {".gitattributes"})
        opens = self.target.public and private and not self.target.proposes
        if opens:
            refs = self._refs(proposals=True)
            self._show(refs, {path: there[path] for path in there.keys() - written_anew}, parent, look)
            self._tell_of_history(refs, parent)
        card = make_card(self._read(parent, CARD) if CARD in there else None, others)
        contents: dict[str, Content] = {**files, CARD: card.encode(), MANIFEST: manifest_of(files)}
        changed = {path: content for path, content in contents.items() if not self._same(there.get(path), content)}
        if taken := sorted(changed.keys() & {*others}):
            raise PublishError(
                f"{self.repo_id} holds a file {taken[0]!r} that was not published by fac-datasets and would be "
                f"overwritten; move or remove it first, or publish to another repository"
            )
        removed = sorted(earlier & there.keys() - contents.keys())
        if changed or removed:
            self._require_free_tag()
            url, commit = self._commit(changed, removed, parent, title)
        else:
            url, commit = f"{self._page}/commit/{parent}", parent
        if opens:
            # Not before, so that nobody sees a repository without anything in it.
            with _landed_as(url, "it is still private"):
                self._ask(self._make_public)
        if self.target.tag is not None:
            with _landed_as(url, f"it has no tag {self.target.tag!r}"):
                self._tag(commit, self.target.tag)
        return Commit(url, commit, tuple(sorted([*changed, *removed])), card)

    @cached_property
    def repo_id(self) -> str:
        """Owner and name."""
        name = self.target.repo
        return name if "/" in name else f"{self._account['name']}/{name}"

    @property
    def _page(self) -> str:
        prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[self.kind]
        return f"{self.api.endpoint}/{prefix}{self.repo_id}"

    @cached_property
    def _account(self) -> dict[str, Any]:
        account: dict[str, Any] = self._ask(lambda: self.api.whoami())
        return account

    def _require_rights(self) -> None:
        """Raise where the token cannot write to the owner's repositories, as far as the Hub tells."""
        role = ((self._account.get("auth") or {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise PublishError(
                "the token may only read; make one with write access at https://huggingface.co/settings/tokens"
            )
        owner = self.repo_id.split("/")[0]
        roles = {org["name"]: org.get("roleInOrg") for org in self._account.get("orgs") or []}
        if self.target.proposes or owner == self._account["name"]:
            return
        if owner not in roles:
            raise PublishError(
                f"{owner!r} is neither {self._account['name']!r}, to whom the token belongs, nor one of the "
                f"organizations {sorted(roles)}; publish under one of these names, or propose it with create_pr"
            )
        if roles[owner] == "read":
            raise PublishError(
                f"{self._account['name']!r} may only read in the organization {owner!r}; ask its owners for the right "
                f"to write, or propose it with create_pr"
            )

    def _open(self) -> bool:
        """Find or make repository and branch; whether the repository is private."""
        info = self._find()
        if info is None:
            if self.target.create_pr:
                raise PublishError(f"there is no {self.kind} {self.repo_id}, to which something can be proposed")
            self._create()
            info = self._find()
        if info is None:
            raise PublishError(f"{self.repo_id} was made, but is not found; try again in a minute")
        if info.id != self.repo_id:
            raise PublishError(f"{self.repo_id} was renamed to {info.id}; publish there")
        private = bool(info.private)
        if not private and not self.target.public and not self.target.proposes:
            raise PublishError(
                f"{self.repo_id} is public, and everybody would read what is published there; say that it is meant "
                f"(--public, public=True; private=False of push_to_hub), or choose another repository"
            )
        branch = self.target.branch
        given = branch == "main" or branch.startswith("refs/pr/")
        if not given and not self._has_branch(branch):
            self._create_branch(branch)
        return private

    def _find(self) -> Any:
        try:
            return self._ask(lambda: self.api.repo_info(self.repo_id, repo_type=self.kind), missing=True)
        except RepositoryNotFoundError:
            return None

    def _create(self) -> None:
        """Make the repository, private at first; one that is there already will do."""
        sdk = "gradio" if self.kind == "space" else None

        def create() -> None:
            try:
                self.api.create_repo(self.repo_id, repo_type=self.kind, private=True, space_sdk=sdk)
            except FAILURES:
                # It may have been made although the answer was lost.
                if self._find() is None:
                    raise

        self._ask(create)

    def _create_branch(self, branch: str) -> None:
        def create() -> None:
            try:
                self.api.create_branch(self.repo_id, branch=branch, repo_type=self.kind)
            except FAILURES:
                if not self._has_branch(branch):
                    raise
            if not self._has_branch(branch):
                raise NotDone("the Hub did not make the branch")

        self._ask(create)

    def _has_branch(self, name: str) -> bool:
        return name in {ref.name for ref in self._refs().branches}

    def _refs(self, *, proposals: bool = False) -> GitRefs:
        return self._ask(
            lambda: self.api.list_repo_refs(self.repo_id, repo_type=self.kind, include_pull_requests=proposals)
        )

    def _head(self) -> str:
        """The commit on which this publication is based."""
        branch = self.target.branch
        try:
            info = self._ask(
                lambda: self.api.repo_info(self.repo_id, repo_type=self.kind, revision=branch), missing=True
            )
        except RevisionNotFoundError as error:
            raise PublishError(f"{self.repo_id} has no revision {branch!r} to publish to") from error
        return str(info.sha)

    def _files(self, revision: str) -> dict[str, RepoFile]:
        """Files at a commit, by path."""

        def read() -> dict[str, RepoFile]:
            tree = self.api.list_repo_tree(self.repo_id, recursive=True, revision=revision, repo_type=self.kind)
            return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

        return self._ask(read)

    def _show(self, refs: GitRefs, kept: Mapping[str, RepoFile], parent: str, look: Look) -> None:
        """Let the files at the heads of all branches be seen, but for large ones, which are counted.

        Args:
            refs: of the repository.
            kept: files of the branch that is published to which this publication leaves as they are.
            parent: its head.
            look: sees them.
        """
        small: dict[str, Path] = {}
        large, seen = 0, set[tuple[str, str]]()
        own = f"refs/heads/{self.target.branch}"
        heads = {ref.ref: ref for ref in [*refs.branches, *refs.converts] if ref.ref != own}
        for where, commit in [("", parent), *((f" of {ref}", head.target_commit) for ref, head in heads.items())]:
            for path, file in sorted((self._files(commit) if where else kept).items()):
                if (path, file.blob_id) in seen:
                    continue
                seen.add((path, file.blob_id))
                if file.size > _LARGEST_SHOWN:
                    large += 1
                else:
                    small[f"{path}{where}"] = self._fetched(commit, path)
        if large:
            logger.warning(
                "%s becomes public with files of more than %d MiB, which are not looked through for keys (%d)",
                self.repo_id, _LARGEST_SHOWN >> 20, large,
            )  # fmt: skip
        look(small)

    def _tell_of_history(self, refs: GitRefs, parent: str) -> None:
        """Warn of commits that become public too and whose files nobody has looked through."""
        heads = {parent, *(ref.target_commit for ref in [*refs.branches, *refs.converts])}
        seen, theirs = set[str](), set[str]()
        for ref in [*refs.branches, *refs.converts, *refs.tags, *(refs.pull_requests or [])]:
            if ref.target_commit in seen:
                continue
            history = self._history(ref.target_commit)
            seen.update(commit.commit_id for commit in history)
            # The Hub itself makes the first, which holds no file of anybody's.
            made = history[:-1] if history[-1].title == _FIRST else history
            theirs.update(commit.commit_id for commit in made if _OURS not in commit.message)
        if earlier := theirs - heads:
            logger.warning(
                "%s becomes public with its history, tags and pull requests, in which earlier commits of others are "
                "not looked through for keys (%d)",
                self.repo_id, len(earlier),
            )  # fmt: skip

    def _fetched(self, revision: str, path: str) -> Path:
        def fetch() -> Path:
            try:
                return Path(
                    hf_hub_download(self.repo_id, path, repo_type=self.kind, revision=revision, token=self.token)
                )
            except OSError as error:
                # What a page of a proxy lacks is told in different ways by the requests for a file.
                if isinstance(error.__cause__, FileMetadataError) or "Consistency check failed" in str(error):
                    raise NotDone(f"the Hub did not send {path}") from error
                raise

        return self._ask(fetch)

    def _read(self, revision: str, path: str) -> str:
        """A text file at a commit."""
        try:
            return self._fetched(revision, path).read_bytes().decode()
        except UnicodeDecodeError as error:
            raise PublishError(f"{path} of {self.repo_id} is not UTF-8 ({error}); mend it first") from error

    def _earlier(self, revision: str) -> set[str]:
        """Files of the earlier publication."""
        try:
            return set(json.loads(self._read(revision, MANIFEST))["files"])
        except (ValueError, TypeError, KeyError) as error:
            raise PublishError(
                f"{MANIFEST} of {self.repo_id}, which lists the files of the earlier publication, is damaged "
                f"({error}); restore it from the repository's history"
            ) from error

    def _commit(self, changed: Mapping[str, Content], removed: list[str], parent: str, title: str) -> tuple[str, str]:
        """Address and id of the commit that holds these changes: made now, or by an earlier try."""
        mark = self._mark(changed, removed, parent)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationDelete(path) for path in removed),
            *(CommitOperationAdd(path, _as_argument(content)) for path, content in changed.items()),
        ]
        if self.target.create_pr and (found := self._proposed(mark)):
            return found
        for attempt in range(TRIES):
            try:
                with _progress_as_in_datasets():
                    made = self._send(operations, mark, parent, title)
            except FAILURES as error:
                # The answer may be what was lost, not the commit.
                if found := self._landed(mark, parent):
                    return found
                # A conflict that there is not can only be of another request at the same moment.
                wait = pause_after(error, attempt, conflicts_pass=True)
                if wait is None or attempt + 1 == TRIES:
                    raise self._explained(error) from cause_without(error, self.token)
                time.sleep(wait)
            except ValueError as error:
                raise PublishError(f"the Hub refuses what was to be published to {self.repo_id}: {error}") from error
            else:
                return (made.pr_url or made.commit_url), made.oid
        raise AssertionError("unreachable")

    def _send(
        self,
        operations: list[CommitOperationAdd | CommitOperationDelete],
        mark: str,
        parent: str,
        title: str,
    ) -> CommitInfo:
        additions = [operation for operation in operations if isinstance(operation, CommitOperationAdd)]
        for card in (addition for addition in additions if addition.path_in_repo == CARD):
            # Before anything is uploaded.
            with card.as_file() as stream:
                RepoCard(stream.read().decode()).validate(repo_type=self.kind)
        branch = None if self.target.create_pr else self.target.branch
        where: dict[str, Any] = {
            "repo_type": self.kind, "revision": branch, "create_pr": self.target.create_pr
        }  # fmt: skip
        self.api.preupload_lfs_files(self.repo_id, additions, free_memory=False, **where)
        # The client leaves such files out without a word.
        if ignored := [addition.path_in_repo for addition in additions if addition._should_ignore]:
            raise PublishError(
                f"the .gitignore of {self.repo_id} keeps {ignored[0]!r} out of it; take that pattern out of it first"
            )
        made: CommitInfo = self.api.create_commit(
            self.repo_id,
            operations,
            commit_message=title,
            commit_description=mark,
            parent_commit=parent,
            **where,
        )
        return made

    def _mark(self, changed: Mapping[str, Content], removed: list[str], parent: str) -> str:
        """Tells this publication's commit from all others."""
        digest = hashlib.sha256(repr((self.repo_id, self.target.branch, parent, removed)).encode())
        for path in sorted(changed):
            digest.update(f"{path}\0{self._digest(changed[path])}\0".encode())
        return f"{_OURS}{digest.hexdigest()[:32]}"

    def _landed(self, mark: str, parent: str) -> tuple[str, str] | None:
        """The commit with a mark, if it is there; raises where somebody else's is instead."""
        if self.target.create_pr:
            return self._proposed(mark)
        history = self._history(self.target.branch)
        newer = list(itertools.takewhile(lambda commit: commit.commit_id != parent, history))
        if len(newer) == len(history) and not any(mark in commit.message for commit in newer):
            raise PublishError(
                f"the history of {self.repo_id} was rewritten meanwhile; {self.target.branch} is at "
                f"{history[0].commit_id[:12]} now. Nothing was published; run this again to publish on top of it"
            )
        for commit in newer:
            if mark in commit.message:
                return f"{self._page}/commit/{commit.commit_id}", commit.commit_id
        if newer:
            other = newer[-1]
            raise PublishError(
                f"somebody else has committed to {self.repo_id} meanwhile: {other.commit_id[:12]} {other.title!r} by "
                f"{', '.join(other.authors) or 'unknown'}. Nothing of theirs was changed, and nothing was published; "
                f"run this again to publish on top of it"
            )
        return None

    def _proposed(self, mark: str) -> tuple[str, str] | None:
        """The pull request whose commit has a mark, if there is one."""
        references = self._refs(proposals=True).pull_requests or []
        newest = sorted(references, key=lambda ref: int(ref.ref.rsplit("/", 1)[-1]))[-_PULL_REQUESTS:]
        for reference in reversed(newest):
            newest_commit = self._history(reference.ref)[0]
            if mark in newest_commit.message:
                return f"{self._page}/discussions/{reference.ref.rsplit('/', 1)[-1]}", newest_commit.commit_id
        return None

    def _history(self, revision: str) -> list[GitCommitInfo]:
        """Commits of a branch or pull request, newest first."""
        return self._ask(lambda: self.api.list_repo_commits(self.repo_id, repo_type=self.kind, revision=revision))

    def _tagged(self) -> str | None:
        """The commit that has the tag; None where there is no such tag."""
        return {ref.name: ref.target_commit for ref in self._refs().tags}.get(str(self.target.tag))

    def _require_free_tag(self) -> None:
        if self.target.tag is not None and (there := self._tagged()) is not None:
            raise PublishError(
                f"the tag {self.target.tag!r} of {self.repo_id} is at {there[:12]} already; choose another"
            )

    def _make_public(self) -> None:
        self.api.update_repo_settings(self.repo_id, private=False, repo_type=self.kind)
        info = self._find()
        if info is None or info.private:
            raise NotDone("the Hub did not change the visibility")

    def _tag(self, commit: str, tag: str) -> None:
        def create() -> None:
            there = self._tagged()
            if there is None:
                self.api.create_tag(self.repo_id, tag=tag, revision=commit, repo_type=self.kind)
                there = self._tagged()
            if there is None:
                raise NotDone("the Hub did not make the tag")
            if there != commit:
                raise PublishError(f"it is at {there[:12]} already; run this again with another")

        self._ask(create)

    def _ask(self, request: Callable[[], T], *, missing: bool = False) -> T:
        """Make a request, again where it fails for a passing reason.

        Args:
            request: made.
            missing: whether to hand on that something is not there.
        """
        for attempt in range(TRIES):
            try:
                return request()
            except PublishError:
                raise
            except FAILURES as error:
                reason = reason_of(error)
                if missing and isinstance(reason, RepositoryNotFoundError | RevisionNotFoundError):
                    raise reason from None
                wait = pause_after(error, attempt)
                if wait is None or attempt + 1 == TRIES:
                    raise self._explained(error) from cause_without(error, self.token)
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _same(self, there: RepoFile | None, content: Content) -> bool:
        """Whether a file on the Hub has this content."""
        if there is None:
            return False
        if there.lfs is not None:
            return bool(there.lfs.sha256 == self._digest(content))
        read = content if isinstance(content, bytes) else content.read_bytes()
        return bool(there.blob_id == hashlib.sha1(b"blob %d\0" % len(read) + read).hexdigest())

    def _digest(self, content: Content) -> str:
        """The sha256 of a file, which may be large, computed once."""
        if content not in self._digests:
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
                self._digests[content] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._digests[content]

    def _explained(self, error: Exception) -> PublishError:
        return explained(error, self.repo_id, self.token)


@contextmanager
def _landed_as(url: str, lacking: str) -> Iterator[None]:
    """While open, what goes wrong is said to have gone wrong behind a commit that stands."""
    try:
        yield
    except PublishError as error:
        raise PublishError(f"published as {url}, but {lacking}: {error}") from error


@contextmanager
def _impatient() -> Iterator[None]:
    """While open, a server that is silent is a broken connection; the client itself would wait without end."""

    def limit(request: Request) -> None:
        # Some requests of the client say for themselves that they wait without end.
        asked = {
            kind: seconds for kind, seconds in request.extensions.get("timeout", {}).items() if seconds is not None
        }
        request.extensions["timeout"] = {**Timeout(SILENCE).as_dict(), **asked}

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "request": [*before.get("request", []), limit]}
    try:
        yield
    finally:
        session.event_hooks = before


@contextmanager
def _progress_as_in_datasets() -> Iterator[None]:
    """While open, the client shows its bars only where those of datasets are shown."""
    from datasets.utils import are_progress_bars_disabled as hidden_in_datasets
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    changed = hidden_in_datasets() and not are_progress_bars_disabled()
    if changed:
        disable_progress_bars()
    try:
        yield
    finally:
        if changed:
            enable_progress_bars()


def _as_argument(content: Content) -> bytes | str:
    return content if isinstance(content, bytes) else str(content)
