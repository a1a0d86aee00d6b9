"""Handlers for repositories as such, and for their branches and tags."""

from __future__ import annotations

from tests.servers.hub_double.messages import Refusal, Request, Response, json_response
from tests.servers.hub_double.repositories import Repository, Visibility


def _own_name(request: Request) -> str:
    """Name of the repository that a body speaks of, if whoever asks may create and delete it."""
    account, wanted = request.require_account(), request.json()
    kind, owner = wanted.get("type") or "model", wanted.get("organization") or account.name
    if not request.hub.accounts.may_write(account, owner):
        raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
    return f"{'' if kind == 'model' else kind + 's/'}{owner}/{wanted['name']}"


def _visibility(repository: Repository, request: Request) -> Visibility:
    """The visibility that a body asks for; else as it is."""
    wanted: Visibility = request.json().get("visibility", repository.visibility)
    if wanted == "protected" and repository.kind != "space":
        raise Refusal(400, "Only Spaces can be protected")
    return wanted


def create_repository(request: Request) -> Response:
    """Create a repository; one that was there by this name and has another now is no longer found by it."""
    name = _own_name(request)
    answer = {"url": f"{request.hub.url}/{name}", "name": name}
    if name in request.hub.repositories:
        return json_response({**answer, "error": f"You already created this repo: {name}"}, 409)
    repository = Repository(name, sdk=request.json().get("sdk"))
    repository.visibility = _visibility(repository, request)
    request.hub.repositories[name] = repository
    return json_response(answer)


def delete_repository(request: Request) -> Response:
    """Delete a repository."""
    if request.hub.repositories.pop(_own_name(request), None) is None:
        raise Refusal(404, "Repository not found", "RepoNotFound")
    return Response(b"OK")


def update_settings(request: Request) -> Response:
    """Change who sees a repository, and whether its files are gated."""
    repository = request.repository("write")
    repository.visibility = _visibility(repository, request)
    repository.gated = request.json().get("gated", repository.gated)
    return json_response({})


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
