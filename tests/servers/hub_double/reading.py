"""Handlers that tell what is in a repository."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

from tests.servers.hub_double.messages import Json, Refusal, Request, Response, json_response
from tests.servers.hub_double.repositories import Blob


def _file_entry(path: str, blob: Blob) -> Json:
    entry: Json = {"type": "file", "oid": blob.git_id, "size": len(blob.content), "path": path}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return entry


def _folder_entry(path: str) -> Json:
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def describe(request: Request) -> Response:
    """Describe a repository at a revision."""
    repository = request.repository("know")
    commit = repository.find(request.parts.get("revision", "main"))
    created = next(iter(repository.commits.values())).date
    answer = {"id": repository.id, "author": repository.owner, "private": repository.private, "sdk": repository.sdk}
    answer |= {"visibility": repository.visibility, "gated": repository.gated}
    dates = {"createdAt": created, "lastModified": commit.date}
    dull = {"disabled": False, "downloads": 0, "likes": 0, "tags": []}
    files = [{"rfilename": path} for path in sorted(commit.files)]
    return json_response({**answer, **dates, **dull, "sha": commit.sha, "siblings": files})


def _page(request: Request, entries: list[Json]) -> Response:
    """One page of a list, with the address of the next."""
    start = int(request.parameter("cursor") or 0)
    end = start + request.hub.page_size
    headers = {}
    if end < len(entries):
        query = urlencode({**request.query, "cursor": end}, doseq=True)
        headers["Link"] = f'<{request.hub.url}{request.path}?{query}>; rel="next"'
    return json_response(entries[start:end], headers=headers)


def list_tree(request: Request) -> Response:
    """List a folder; the top one with or without a slash behind the revision."""
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
    proposed = entries({name: pull_request.head for name, pull_request in repository.pull_requests.items()}, "")
    return json_response({"branches": branches, "tags": tags, "converts": [], "pullRequests": proposed})


def list_commits(request: Request) -> Response:
    """List the history of a revision, newest first."""
    return _page(
        request,
        [
            {
                "id": commit.sha,
                "title": commit.title,
                "message": commit.description,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in request.repository().history(request.parts["revision"])
        ],
    )


def list_discussions(request: Request) -> Response:
    """List pull requests, newest first; there are no other discussions, and all are open."""
    repository = request.repository()
    repo = {"name": repository.id, "type": repository.kind}
    found = [
        {
            "num": pull_request.number,
            "title": pull_request.opening.title,
            "author": {"name": pull_request.author},
            "createdAt": pull_request.opening.date,
            "status": "open",
            "isPullRequest": True,
            "repo": repo,
        }
        for pull_request in reversed(repository.pull_requests.values())
        if request.parameter("author") in ("", pull_request.author)
    ]
    if request.parameter("type") == "discussion" or request.parameter("status") == "closed":
        found = []
    return json_response({"count": len(found), "start": 0, "discussions": found})


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
