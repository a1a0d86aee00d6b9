"""What goes over the wire: requests with what they ask for, responses, and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

if TYPE_CHECKING:
    from tests.servers.hub_double.accounts import Account
    from tests.servers.hub_double.repositories import Commit, Repository
    from tests.servers.hub_double.server import Hub

Json = dict[str, Any]
Right = Literal["know", "read", "propose", "write"]


class Refusal(Exception):
    """An error, answered in the Hub's form."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**(headers or {}), "X-Error-Message": message, **({"X-Error-Code": code} if code else {})}


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

    def parameter(self, name: str) -> str:
        """A parameter of the query; nothing where it is not there."""
        return self.query.get(name, [""])[0]

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is on."""
        return self.parameter(name).lower() in ("1", "true")

    @cached_property
    def account(self) -> Account | None:
        """Who asks; no one without a token."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.accounts.by_token:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.accounts.by_token.get(token)

    def require_account(self) -> Account:
        """Who asks, which must be someone."""
        if self.account is None:
            raise Refusal(401, "Invalid username or password.")
        return self.account

    def repository(self, right: Right = "read") -> Repository:
        """The repository of the path, if whoever asks has the right to it and knows its present name."""
        repository, accounts = self.hub.find(self._name), self.hub.accounts
        own = repository is not None and accounts.belongs(self.account, repository.owner)
        if repository is None or (repository.private and not own):
            raise Refusal(404 if self.account else 401, "Repository not found", "RepoNotFound")
        if repository.name != self._name:
            raise self._redirection(repository)
        if repository.gated and right != "know" and not own:
            message = f"Access to {repository.id} is restricted and you are not in the authorized list."
            raise Refusal(403 if self.account else 401, message, "GatedRepo")
        if right == "propose" and not accounts.writes(self.require_account()):
            raise _forbidden()
        if right == "write" and not accounts.may_write(self.require_account(), repository.owner):
            raise _forbidden()
        return repository

    def commit(self) -> Commit:
        """The commit of the path, to be read."""
        return self.repository().find(self.parts.get("revision", "main"))

    @property
    def _name(self) -> str:
        kind = self.parts["kind"].strip("/")
        return self.parts["id"] if kind in ("", "models") else f"{kind}/{self.parts['id']}"

    def _redirection(self, repository: Repository) -> Refusal:
        """The way to a repository that was asked for by an earlier name, as a relative address like the Hub's own."""
        query = f"?{urlencode(self.query, doseq=True)}" if self.query else ""
        address = self.path.replace(f"/{self.parts['id']}", f"/{repository.id}", 1) + query
        return Refusal(307, f"Temporary Redirect. Redirecting to {address}", headers={"Location": address})


def _forbidden() -> Refusal:
    return Refusal(403, "You don't have the required permissions to perform this action")
