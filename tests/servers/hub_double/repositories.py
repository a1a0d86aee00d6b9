"""What the Hub holds: files, commits, and repositories with their branches, tags and pull requests."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tests.servers.hub_double.messages import Refusal

Visibility = Literal["public", "private", "protected"]
Gate = Literal["auto", "manual", False]

LFS_SIZE = 10 * 2**20
LFS_SUFFIXES = (".parquet", ".arrow", ".safetensors", ".bin", ".pt", ".npy", ".npz", ".gguf", ".gz", ".zip")
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


@dataclass(frozen=True)
class Blob:
    """Content of a file, and whether git holds it or only a pointer to it."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        """Name of the content in large file storage."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of a large file."""
        size = len(self.content)
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {size}\n".encode()

    @cached_property
    def git_id(self) -> str:
        """Name of what git holds."""
        held = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()

    @property
    def id(self) -> str:
        """Name by which a client tells whether the content changed."""
        return self.sha256 if self.lfs else self.git_id


@dataclass(frozen=True)
class Commit:
    """All files at one point of a history."""

    sha: str
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    files: Mapping[str, Blob]


@dataclass
class PullRequest:
    """Commits that someone would like to see on `main`."""

    number: int
    opening: Commit
    head: str

    @property
    def author(self) -> str:
        """Account that opened it."""
        return self.opening.author


class Repository:
    """A history with branches, tags and pull requests."""

    def __init__(
        self, name: str, *, visibility: Visibility = "public", gated: Gate = False, sdk: str | None = None
    ) -> None:
        self.name, self.visibility, self.gated, self.sdk = name, visibility, gated, sdk
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.pull_requests: dict[str, PullRequest] = {}
        self.append("main", {".gitattributes": Blob(GIT_ATTRIBUTES, lfs=False)}, "initial commit")

    @property
    def id(self) -> str:
        """Owner and name, without the kind."""
        return self.name.removeprefix("datasets/").removeprefix("spaces/")

    @property
    def kind(self) -> str:
        """`model`, `dataset` or `space`."""
        return self.name.split("/")[0].removesuffix("s") if self.name != self.id else "model"

    @property
    def owner(self) -> str:
        """Account or organization it belongs to."""
        return self.id.split("/")[0]

    @property
    def private(self) -> bool:
        """Whether others may not read it; a protected Space shows them its app alone."""
        return self.visibility != "public"

    def find(self, revision: str) -> Commit:
        """The commit that a branch, tag, pull request or commit id stands for."""
        proposed = {reference: pull_request.head for reference, pull_request in self.pull_requests.items()}
        heads = {**self.tags, **self.branches, **proposed}
        if revision in heads:
            return self.commits[heads[revision]]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            for sha, commit in self.commits.items():
                if sha.startswith(revision):
                    return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str) -> Iterator[Commit]:
        """A commit and those before it."""
        sha: str | None = self.find(revision).sha
        while sha:
            yield self.commits[sha]
            sha = self.commits[sha].parent

    def append(
        self,
        head: str,
        files: Mapping[str, Blob],
        title: str,
        description: str = "",
        parent: str | None = None,
        author: str | None = None,
    ) -> Commit:
        """Commit files and move a branch or pull request there."""
        commit = self._commit(files, title, description, parent, author)
        if head in self.pull_requests:
            self.pull_requests[head].head = commit.sha
        else:
            self.branches[head] = commit.sha
        return commit

    def propose(self, files: Mapping[str, Blob], title: str, description: str, parent: str, author: str) -> PullRequest:
        """Commit files and open a pull request with them."""
        commit = self._commit(files, title, description, parent, author)
        number = len(self.pull_requests) + 1
        self.pull_requests[f"refs/pr/{number}"] = PullRequest(number, commit, commit.sha)
        return self.pull_requests[f"refs/pr/{number}"]

    def _commit(
        self, files: Mapping[str, Blob], title: str, description: str, parent: str | None, author: str | None
    ) -> Commit:
        content = [(path, blob.id) for path, blob in sorted(files.items())]
        sha = hashlib.sha1(repr((self.name, len(self.commits), parent, title, content)).encode()).hexdigest()
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.commits[sha] = Commit(sha, parent, title, description, author or self.owner, date, files)
        return self.commits[sha]


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file belongs in large file storage."""
    return size > LFS_SIZE or path.endswith(LFS_SUFFIXES) or b"\0" in sample
