"""A stand-in on loopback for the Hugging Face Hub: its HTTP, faults on demand, and a fixture that leads to it.

It answers what `huggingface_hub` 2.4 and `datasets` 5.2 ask of models, datasets and Spaces. A repository is named as
in its web address: `me/x`, `datasets/me/x`, `spaces/me/x`. What it does is specified by `tests/test_hub.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import datasets.config
import huggingface_hub.hf_api
import pytest
import yaml
from huggingface_hub import HfFileSystem
from huggingface_hub.utils import _cache_assets, _cache_manager, _git_credential

Json = dict[str, Any]
Right = Literal["read", "propose", "write"]
Cut = Literal["before", "middle", "after"]

WRITE_TOKEN, READ_TOKEN, OTHER_TOKEN = "hf_me_write", "hf_me_read", "hf_other_write"
LFS_SIZE = 10 * 2**20
LFS_SUFFIXES = (".parquet", ".arrow", ".safetensors", ".bin", ".pt", ".npy", ".npz", ".gguf", ".gz", ".zip")
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class Refusal(Exception):
    """An error, answered in the Hub's form."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**(headers or {}), "X-Error-Message": message, **({"X-Error-Code": code} if code else {})}


# The repositories


@dataclass(frozen=True)
class Account:
    """Whose a token is, and what it may do."""

    name: str
    role: Literal["read", "write"]


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
    date: str
    files: Mapping[str, Blob]


class Repository:
    """A history with branches, tags and pull requests."""

    def __init__(self, name: str, *, private: bool = False, sdk: str | None = None) -> None:
        self.name, self.private, self.sdk = name, private, sdk
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.pull_requests: dict[str, str] = {}
        self.append("main", {".gitattributes": Blob(GIT_ATTRIBUTES, lfs=False)}, "initial commit")

    @property
    def id(self) -> str:
        """Owner and name, without the kind."""
        return self.name.removeprefix("datasets/").removeprefix("spaces/")

    @property
    def owner(self) -> str:
        """Account it belongs to."""
        return self.id.split("/")[0]

    def find(self, revision: str) -> Commit:
        """The commit that a branch, tag, pull request or commit id stands for."""
        heads = {**self.tags, **self.branches, **self.pull_requests}
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
        self, head: str, files: Mapping[str, Blob], title: str, description: str = "", parent: str | None = None
    ) -> Commit:
        """Commit files and move a branch or pull request there."""
        content = [(path, blob.id) for path, blob in sorted(files.items())]
        sha = hashlib.sha1(repr((self.name, len(self.commits), parent, title, content)).encode()).hexdigest()
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.commits[sha] = Commit(sha, parent, title, description, date, files)
        (self.pull_requests if head.startswith("refs/pr/") else self.branches)[head] = sha
        return self.commits[sha]


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file belongs in large file storage."""
    return size > LFS_SIZE or path.endswith(LFS_SUFFIXES) or b"\0" in sample


# Faults, requests, responses


@dataclass
class Fault:
    """What goes wrong with the requests that match."""

    match: str
    status: int
    times: float
    skip: int
    headers: Mapping[str, str]
    cut: Cut | None

    def strikes(self, line: str) -> bool:
        """Whether it befalls this request; counts down."""
        if self.times <= 0 or not re.search(self.match, line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True)
class Response:
    """An answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(value).encode(), status, headers or {}, "application/json")


@dataclass(frozen=True)
class Request:
    """A request on its way to a handler, with the named parts of its path."""

    hub: Hub
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes
    parts: Mapping[str, str]

    def json(self) -> Json:
        """The body, read."""
        value: Json = json.loads(self.body or b"{}")
        return value

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is on."""
        return self.query.get(name, [""])[0].lower() in ("1", "true")

    @cached_property
    def account(self) -> Account | None:
        """Who asks; no one without a token."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.accounts:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.accounts.get(token)

    def require_account(self) -> Account:
        """Who asks, which must be someone."""
        if self.account is None:
            raise Refusal(401, "Invalid username or password.")
        return self.account

    def repository(self, right: Right = "read") -> Repository:
        """The repository of the path, if whoever asks has the right to it."""
        kind = self.parts["kind"].strip("/")
        name = self.parts["id"] if kind in ("", "models") else f"{kind}/{self.parts['id']}"
        repository = self.hub.repositories.get(name)
        own = repository is not None and self.account is not None and self.account.name == repository.owner
        if repository is None or (repository.private and not own):
            raise Refusal(404 if self.account else 401, "Repository not found", "RepoNotFound")
        if right != "read" and (self.require_account().role != "write" or (right == "write" and not own)):
            raise Refusal(403, "You don't have the required permissions to perform this action")
        return repository

    def commit(self) -> Commit:
        """The commit of the path, to be read."""
        return self.repository().find(self.parts.get("revision", "main"))


# Handlers: accounts and repositories


def whoami(request: Request) -> Response:
    """Tell whose the token is."""
    account = request.require_account()
    token = {"displayName": "token", "role": account.role}
    auth = {"type": "access_token", "accessToken": token}
    return json_response({"type": "user", "id": account.name, "name": account.name, "orgs": [], "auth": auth})


def validate_yaml(request: Request) -> Response:
    """Check the metadata of a card."""
    block = re.match(r"---\r?\n(.*?)\n---", request.json()["content"], re.DOTALL)
    try:
        metadata = yaml.safe_load(block[1]) if block else None
    except yaml.YAMLError as error:
        return json_response({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_response({"errors": [], "warnings": warnings})


def _own_name(request: Request) -> str:
    """Name of the repository that a body speaks of, if whoever asks may create and delete it."""
    account, wanted = request.require_account(), request.json()
    kind, owner = wanted.get("type") or "model", wanted.get("organization") or account.name
    if account.role != "write" or owner != account.name:
        raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
    return f"{'' if kind == 'model' else kind + 's/'}{owner}/{wanted['name']}"


def create_repository(request: Request) -> Response:
    """Create a repository."""
    name, wanted = _own_name(request), request.json()
    answer = {"url": f"{request.hub.url}/{name}", "name": name}
    if name in request.hub.repositories:
        return json_response({**answer, "error": f"You already created this repo: {name}"}, 409)
    private = wanted.get("visibility") == "private"
    request.hub.repositories[name] = Repository(name, private=private, sdk=wanted.get("sdk"))
    return json_response(answer)


def delete_repository(request: Request) -> Response:
    """Delete a repository."""
    if request.hub.repositories.pop(_own_name(request), None) is None:
        raise Refusal(404, "Repository not found", "RepoNotFound")
    return Response(b"OK")


def update_settings(request: Request) -> Response:
    """Make a repository private or public."""
    repository = request.repository("write")
    repository.private = request.json().get("visibility", "private" if repository.private else "public") == "private"
    return json_response({})


# Handlers: reading


def _file_entry(path: str, blob: Blob) -> Json:
    entry: Json = {"type": "file", "oid": blob.git_id, "size": len(blob.content), "path": path}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return entry


def _folder_entry(path: str) -> Json:
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def describe(request: Request) -> Response:
    """Describe a repository at a revision."""
    repository, commit = request.repository(), request.commit()
    created = next(iter(repository.commits.values())).date
    answer = {"id": repository.id, "author": repository.owner, "private": repository.private, "sdk": repository.sdk}
    dates = {"createdAt": created, "lastModified": commit.date}
    dull = {"gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    files = [{"rfilename": path} for path in sorted(commit.files)]
    return json_response({**answer, **dates, **dull, "sha": commit.sha, "siblings": files})


def _page(request: Request, entries: list[Json]) -> Response:
    """One page of a list, with the address of the next."""
    start = int(request.query.get("cursor", ["0"])[0])
    end = start + request.hub.page_size
    headers = {}
    if end < len(entries):
        query = urlencode({**request.query, "cursor": end}, doseq=True)
        headers["Link"] = f'<{request.hub.url}{request.path}?{query}>; rel="next"'
    return json_response(entries[start:end], headers=headers)


def list_tree(request: Request) -> Response:
    """List a folder."""
    commit, folder = request.commit(), request.parts.get("path", "")
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, Json] = {}
    for path, blob in sorted(commit.files.items()):
        if path.startswith(prefix):
            below = path.removeprefix(prefix).split("/")
            for parent in ("/".join(below[:depth]) for depth in range(1, len(below))):
                entries.setdefault(prefix + parent, _folder_entry(prefix + parent))
        if path.startswith(prefix) or path == folder:
            entries[path] = _file_entry(path, blob)
    if folder and not entries:
        raise Refusal(404, f'{folder} does not exist on "{commit.sha}"', "EntryNotFound")
    deep = request.flag("recursive")
    return _page(request, [e for path, e in entries.items() if deep or "/" not in path.removeprefix(prefix)])


def list_paths(request: Request) -> Response:
    """Describe the given files and folders, without those that do not exist."""
    files, entries = request.commit().files, []
    for path in (path.strip("/") for path in parse_qs(request.body.decode()).get("paths", [])):
        if path in files:
            entries.append(_file_entry(path, files[path]))
        elif any(other.startswith(f"{path}/") for other in files):
            entries.append(_folder_entry(path))
    return json_response(entries)


def list_refs(request: Request) -> Response:
    """List branches, tags and pull requests."""
    repository = request.repository()

    def entries(heads: Mapping[str, str], prefix: str) -> list[Json]:
        return [{"name": name, "ref": f"{prefix}{name}", "targetCommit": sha} for name, sha in heads.items()]

    branches, tags = entries(repository.branches, "refs/heads/"), entries(repository.tags, "refs/tags/")
    pull_requests = entries(repository.pull_requests, "")
    return json_response({"branches": branches, "tags": tags, "converts": [], "pullRequests": pull_requests})


def list_commits(request: Request) -> Response:
    """List the history of a revision, newest first."""
    repository = request.repository()
    common = {"authors": [{"user": repository.owner}]}
    history = repository.history(request.parts["revision"])
    entries = [{"id": c.sha, "title": c.title, "message": c.description, "date": c.date, **common} for c in history]
    return _page(request, entries)


def resolve_file(request: Request) -> Response:
    """Serve a file, or a range of it."""
    commit = request.commit()
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    blob = commit.files.get(request.parts["path"])
    if blob is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    size = len(blob.content)
    headers["ETag"] = f'"{blob.id}"'
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.id}"', "X-Linked-Size": str(size)}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if wanted is None:
        return Response(blob.content, headers=headers)
    start, end = int(wanted[1]), min(int(wanted[2] or size), size - 1)
    if start >= size:
        return Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    return Response(blob.content[start : end + 1], 206, {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})


# Handlers: writing


def choose_upload_modes(request: Request) -> Response:
    """Tell for each file how to upload it, and what stands in its place."""
    repository = request.repository("propose" if request.flag("create_pr") else "write")
    files, answer = repository.find(request.parts["revision"]).files, []
    for file in request.json()["files"]:
        large = is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
        mode: Json = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        present = files.get(file["path"])
        answer.append(mode | {"oid": present.id} if present else mode)
    return json_response({"files": answer})


def start_large_uploads(request: Request) -> Response:
    """Tell where to upload those large files that are not stored yet."""
    request.repository("propose")
    answer: list[Json] = []
    for wanted in request.json()["objects"]:
        href = f"{request.hub.url}/large-files/{wanted['oid']}"
        actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        answer.append(wanted if wanted["oid"] in request.hub.large_files else {**wanted, "actions": actions})
    return json_response({"transfer": "basic", "objects": answer})


def store_large_file(request: Request) -> Response:
    """Store a large file under the hash of its content."""
    if hashlib.sha256(request.body).hexdigest() != request.parts["oid"]:
        raise Refusal(400, "The content does not have the declared hash")
    request.hub.large_files[request.parts["oid"]] = request.body
    return Response()


def verify_large_file(request: Request) -> Response:
    """Tell whether a large file is stored whole."""
    stored = request.hub.large_files.get(request.parts["oid"])
    if stored is None or len(stored) != request.json()["size"]:
        raise Refusal(404, "The file is not stored")
    return json_response({})


def _apply(request: Request, files: dict[str, Blob], key: str, value: Json) -> None:
    """Do one line of a commit."""
    path = value["path"]
    match key:
        case "file":
            files[path] = Blob(base64.b64decode(value["content"]), lfs=False)
        case "lfsFile":
            if value["oid"] not in request.hub.large_files:
                raise Refusal(400, f"LFS pointer pointed to a file that does not exist. path: {path}")
            files[path] = Blob(request.hub.large_files[value["oid"]], lfs=True)
        case "deletedFile":
            if files.pop(path, None) is None:
                raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        case "deletedFolder":
            for inside in [other for other in files if other.startswith(f"{path.rstrip('/')}/")]:
                del files[inside]
        case _:
            raise Refusal(400, f"Unknown operation: {key}")


def commit_files(request: Request) -> Response:
    """Commit to a branch or pull request, or open a pull request."""
    proposed, head = request.flag("create_pr"), request.parts["revision"]
    repository = request.repository("propose" if proposed else "write")
    if head not in repository.branches | repository.pull_requests:
        raise Refusal(404, f"Invalid rev id: {head}", "RevisionNotFound")
    parent = repository.find(head)
    header, *operations = (json.loads(line) for line in request.body.splitlines() if line.strip())
    expected = header["value"].get("parentCommit")
    if expected and not parent.sha.startswith(expected):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(parent.files)
    for operation in operations:
        _apply(request, files, operation["key"], operation["value"])
    number = len(repository.pull_requests) + 1
    head = f"refs/pr/{number}" if proposed else head
    summary, description = header["value"]["summary"], header["value"].get("description", "")
    commit = repository.append(head, files, summary, description, parent.sha)
    url = f"{request.hub.url}/{repository.name}"
    answer = {"success": True, "commitOid": commit.sha, "commitUrl": f"{url}/commit/{commit.sha}"}
    return json_response(answer | {"pullRequestUrl": f"{url}/discussions/{number}"} if proposed else answer)


def create_branch(request: Request) -> Response:
    """Start a branch at a revision."""
    repository, name = request.repository("write"), request.parts["revision"]
    if name.startswith("refs/"):
        raise Refusal(400, f"Invalid reference for a branch: {name}")
    if name in repository.branches:
        raise Refusal(409, f"Reference already exists: refs/heads/{name}")
    repository.branches[name] = repository.find(request.json().get("startingPoint") or "main").sha
    return json_response({})


def create_tag(request: Request) -> Response:
    """Tag a revision."""
    repository, name = request.repository("write"), request.json()["tag"]
    if name in repository.tags:
        raise Refusal(409, f"Tag reference exists already: {name}")
    repository.tags[name] = repository.find(request.parts["revision"]).sha
    return json_response({})


def delete_reference(request: Request) -> Response:
    """Delete a branch or tag; its commits stay."""
    repository, name = request.repository("write"), request.parts["revision"]
    references = repository.tags if request.parts["reference"] == "tag" else repository.branches
    if references.pop(name, None) is None:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return json_response({})


Handler = Callable[[Request], Response]
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("POST", "/api/repos/create", create_repository),
    ("DELETE", "/api/repos/delete", delete_repository),
    ("GET", "/api/{kind}/{id}", describe),
    ("GET", "/api/{kind}/{id}/revision/{revision}", describe),
    ("PUT", "/api/{kind}/{id}/settings", update_settings),
    ("GET", "/api/{kind}/{id}/refs", list_refs),
    ("GET", "/api/{kind}/{id}/commits/{revision}", list_commits),
    ("GET", "/api/{kind}/{id}/tree/{revision}", list_tree),
    ("GET", "/api/{kind}/{id}/tree/{revision}/{path}", list_tree),
    ("POST", "/api/{kind}/{id}/paths-info/{revision}", list_paths),
    ("POST", "/api/{kind}/{id}/branch/{revision}", create_branch),
    ("POST", "/api/{kind}/{id}/tag/{revision}", create_tag),
    ("DELETE", "/api/{kind}/{id}/{reference}/{revision}", delete_reference),
    ("POST", "/api/{kind}/{id}/preupload/{revision}", choose_upload_modes),
    ("POST", "/api/{kind}/{id}/commit/{revision}", commit_files),
    ("POST", "/{page}{id}.git/info/lfs/objects/batch", start_large_uploads),
    ("PUT", "/large-files/{oid}", store_large_file),
    ("POST", "/large-files/{oid}/verify", verify_large_file),
    ("GET", "/{page}{id}/resolve/{revision}/{path}", resolve_file),
]
_PARTS = {
    "{kind}": "(?P<kind>models|datasets|spaces)",
    "{page}": "(?P<kind>datasets/|spaces/|)",
    "{id}": "(?P<id>[^/]+/[^/]+)",
    "{revision}": "(?P<revision>[^/]+)",
    "{reference}": "(?P<reference>branch|tag)",
    "{path}": "(?P<path>.+)",
    "{oid}": "(?P<oid>[0-9a-f]{64})",
}


def _pattern(template: str) -> re.Pattern[str]:
    """Expression for the paths of a route."""
    return re.compile("".join(_PARTS.get(part, re.escape(part)) for part in re.split(r"(\{\w+\})", template)))


_PATTERNS = [(method, _pattern(template), handler) for method, template, handler in ROUTES]


# The server


class Hub:
    """The running double: what it holds, what it was asked, and what is to go wrong."""

    def __init__(self, home: Path) -> None:
        """Prepare an empty Hub for clients whose `HF_HOME` is `home`."""
        self.home = home
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.accounts = {
            WRITE_TOKEN: Account("me", "write"),
            READ_TOKEN: Account("me", "read"),
            OTHER_TOKEN: Account("other", "write"),
        }
        self.page_size = 1000
        self.log: list[str] = []
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Connection, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(
        self,
        match: str,
        *,
        status: int = 503,
        times: float = 1,
        skip: int = 0,
        headers: Mapping[str, str] | None = None,
        cut: Cut | None = None,
    ) -> None:
        """Let requests fail.

        Args:
            match: expression found in `METHOD /path`, as in the log.
            status: of the answer they get instead.
            times: how many fail; `math.inf` for all.
            skip: how many pass first.
            headers: of that answer.
            cut: close the connection instead: `before` the request does anything, in the `middle` of its body (of the
                answer's if it has none), or `after` it took effect but before any answer.
        """
        with self._lock:
            self._faults.append(Fault(match, status, times, skip, headers or {}, cut))

    def recover(self) -> None:
        """Forget the faults that are left."""
        with self._lock:
            self._faults.clear()

    def requests(self, match: str = "") -> list[str]:
        """Requests so far that match, as `METHOD /path`."""
        with self._lock:
            return [line for line in self.log if re.search(match, line)]

    def seed(
        self, name: str, files: Mapping[str, bytes], *, private: bool | None = None, revision: str = "main"
    ) -> str:
        """Commit files on top of a branch, creating repository and branch where missing; the commit's id."""
        with self._lock:
            repository = self.repositories.setdefault(name, Repository(name))
            repository.private = repository.private if private is None else private
            parent = repository.find(revision if revision in repository.branches else "main")
            blobs = {path: Blob(data, is_large(path, len(data), data[:512])) for path, data in files.items()}
            self.large_files |= {blob.sha256: blob.content for blob in blobs.values() if blob.lfs}
            return repository.append(revision, {**parent.files, **blobs}, "Seed", parent=parent.sha).sha

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a repository, `.gitattributes` too."""
        with self._lock:
            return {path: blob.content for path, blob in self.repositories[name].find(revision).files.items()}

    def environment(self, token: str = WRITE_TOKEN) -> dict[str, str]:
        """Environment of a subprocess that is to meet this double: that of this process, changed."""
        switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        online = {f"HF_{library}_OFFLINE": "0" for library in ("HUB", "DATASETS", "EVALUATE")}
        direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        folders = {name: str(self.home / folder) for name, folder in _FOLDERS.items()}
        return {**os.environ, **switches, **online, **direct, **folders, "HF_ENDPOINT": self.url, "HF_TOKEN": token}

    def strike(self, line: str) -> Fault | None:
        """Log a request and say what befalls it."""
        with self._lock:
            self.log.append(line)
            return next((fault for fault in self._faults if fault.strikes(line)), None)

    def handle(self, method: str, target: str, headers: Message, body: bytes) -> Response:
        """Answer a request."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        wanted = "GET" if method == "HEAD" else method
        try:
            for route_method, pattern, handler in _PATTERNS:
                if route_method == wanted and (match := pattern.fullmatch(url.path)):
                    parts = {name: unquote(value) for name, value in match.groupdict().items()}
                    with self._lock:
                        return handler(Request(self, method, url.path, query, headers, body, parts))
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        except Refusal as refusal:
            return json_response({"error": str(refusal)}, refusal.status, refusal.headers)


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client, over which requests come in turn."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def serve(self) -> None:
        """Answer one request, unless a fault strikes it."""
        fault = self.hub.strike(f"{self.command} {unquote(urlsplit(self.path).path)}")
        cut = fault.cut if fault else None
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read((size + 1) // 2 if cut == "middle" else size)
        if cut == "before" or (cut == "middle" and body):
            self.close_connection = True
        elif fault and not cut:
            self._send(json_response({"error": "injected fault"}, fault.status, fault.headers))
        else:
            response = self.hub.handle(self.command, self.path, self.headers, body)
            if cut == "after":
                self.close_connection = True
            else:
                self._send(response, half=cut == "middle")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def _send(self, response: Response, *, half: bool = False) -> None:
        """Send an answer, or one that breaks off."""
        self.send_response(response.status)
        headers = {"Content-Type": response.content_type, "Content-Length": str(len(response.body)), **response.headers}
        for name, value in headers.items():
            self.send_header(name, value.replace("\n", " "))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[: len(response.body) // 2] if half else response.body)
        self.close_connection = self.close_connection or half

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


# The clients


_FOLDERS = {
    "HF_HOME": "",
    "HF_HUB_CACHE": "hub",
    "HF_ASSETS_CACHE": "assets",
    "HF_XET_CACHE": "xet",
    "HF_TOKEN_PATH": "token",
    "HF_DATASETS_CACHE": "datasets",
    "HF_MODULES_CACHE": "modules",
    "HF_EVALUATE_CACHE": "evaluate",
}


def _settings(hub: Hub) -> dict[str, object]:
    """What the clients read once, when they are imported, and what it has to be."""
    return {
        "ENDPOINT": hub.url,
        "HF_ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HUB_DATASETS_URL": f"{hub.url}/datasets/{{repo_id}}/resolve/{{revision}}/{{path}}",
        "HUB_EVALUATE_URL": f"{hub.url}/spaces/{{path}}/resolve/{{revision}}/{{name}}",
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
        "HF_EVALUATE_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
        "HF_UPDATE_DOWNLOAD_COUNTS": False,
        "USE_PARQUET_EXPORT": False,
        **{name: hub.home / folder for name, folder in _FOLDERS.items()},
        "HF_CACHE_HOME": hub.home,
        "HF_STORED_TOKENS_PATH": hub.home / "stored_tokens",
        "DOWNLOADED_DATASETS_PATH": hub.home / "datasets" / "downloads",
        "EXTRACTED_DATASETS_PATH": hub.home / "datasets" / "downloads" / "extracted",
        "DOWNLOADED_EVALUATE_PATH": hub.home / "evaluate" / "downloads",
    }


def setting_modules() -> list[ModuleType]:
    """The modules that hold the settings or a copy of them; `evaluate` where it is loaded, since that takes long."""
    modules = [huggingface_hub.constants, _cache_assets, _cache_manager, _git_credential, datasets.config]
    return modules + [sys.modules[name] for name in ("evaluate.config",) if name in sys.modules]


def connect(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    """Lead the clients in this process to a double, logged in as `me`, with empty caches, until the patch is undone.

    A module that copies these settings when it is imported must be imported before, or it keeps them for good.
    """
    for module in setting_modules():
        for name, value in _settings(hub).items():
            if name in vars(module):
                patch.setattr(module, name, type(vars(module)[name])(value))
    patch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
    patch.setattr(huggingface_hub.hf_api.api, "_whoami_cache", {})
    for variable in ("HF_TOKEN", "NO_PROXY", "no_proxy"):
        patch.setenv(variable, hub.environment()[variable])
    for variable in ("HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        patch.delenv(variable, raising=False)
    drop_connections()


def drop_connections() -> None:
    """Let the clients forget their connections and the file systems they know."""
    huggingface_hub.close_session()
    HfFileSystem.clear_instance_cache()


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, which `huggingface_hub` and `datasets` take for the real one during the test."""
    with Hub(tmp_path_factory.mktemp("huggingface")) as running:
        connect(running, monkeypatch)
        yield running
        drop_connections()
