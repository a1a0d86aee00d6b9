"""Handlers that commit files."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json

from tests.servers.hub_double.messages import Json, Refusal, Request, Response, json_response
from tests.servers.hub_double.repositories import Blob, Repository, is_large


def _writable(request: Request) -> Repository:
    """The repository of the path, if whoever asks may commit to its revision, or opened it as a pull request."""
    repository = request.repository("propose")
    target = repository.pull_requests.get(request.parts["revision"])
    if request.flag("create_pr") or (target and target.author == request.require_account().name):
        return repository
    return request.repository("write")


def choose_upload_modes(request: Request) -> Response:
    """Tell for each file how to upload it, and what stands in its place."""
    files, answer = _writable(request).find(request.parts["revision"]).files, []
    ignored = request.json().get("gitIgnore") or (files[".gitignore"].content.decode() if ".gitignore" in files else "")
    for file in request.json()["files"]:
        large = is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
        mode: Json = {"path": file["path"], "uploadMode": "lfs" if large else "regular"}
        # Of git's patterns only those that name whole paths.
        mode["shouldIgnore"] = any(fnmatch.fnmatchcase(file["path"], pattern) for pattern in ignored.splitlines())
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
    """Commit to a branch or pull request, or open a pull request, which may start at an earlier commit."""
    repository, head, author = _writable(request), request.parts["revision"], request.require_account().name
    if head not in {**repository.branches, **repository.pull_requests}:
        raise Refusal(404, f"Invalid rev id: {head}", "RevisionNotFound")
    header, *operations = (json.loads(line) for line in request.body.splitlines() if line.strip())
    summary, description = header["value"]["summary"], header["value"].get("description", "")
    expected, proposed = header["value"].get("parentCommit"), request.flag("create_pr")
    parent = repository.find(expected if expected and proposed else head)
    if expected and not parent.sha.startswith(expected):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(parent.files)
    for operation in operations:
        _apply(request, files, operation["key"], operation["value"])
    url = f"{request.hub.url}/{repository.name}"
    if not proposed:
        commit = repository.append(head, files, summary, description, parent.sha, author)
        return json_response(_committed(url, commit.sha))
    pull_request = repository.propose(files, summary, description, parent.sha, author)
    opened = {"pullRequestUrl": f"{url}/discussions/{pull_request.number}"}
    return json_response({**_committed(url, pull_request.head), **opened})


def _committed(url: str, sha: str) -> Json:
    return {"success": True, "commitOid": sha, "commitUrl": f"{url}/commit/{sha}"}
