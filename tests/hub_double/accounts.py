"""Who is on the Hub, and what their tokens may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.hub_double.messages import Request, Response, json_response

WRITE_TOKEN, READ_TOKEN, OTHER_TOKEN = "hf_me_write", "hf_me_read", "hf_other_write"


@dataclass(frozen=True)
class Account:
    """Whose a token is, and what it may do."""

    name: str
    role: Literal["read", "write"]


class Accounts:
    """All tokens."""

    def __init__(self) -> None:
        self.by_token = {
            WRITE_TOKEN: Account("me", "write"),
            READ_TOKEN: Account("me", "read"),
            OTHER_TOKEN: Account("other", "write"),
        }

    def belongs(self, account: Account | None, owner: str) -> bool:
        """Whether an account is an owner of repositories."""
        return account is not None and account.name == owner

    def writes(self, account: Account) -> bool:
        """Whether a token may write at all."""
        return account.role == "write"

    def may_write(self, account: Account, owner: str) -> bool:
        """Whether a token may create and change repositories of an owner."""
        return self.writes(account) and account.name == owner


def whoami(request: Request) -> Response:
    """Tell whose the token is."""
    account = request.require_account()
    token = {"displayName": "token", "role": account.role}
    auth = {"type": "access_token", "accessToken": token}
    return json_response({"type": "user", "id": account.name, "name": account.name, "orgs": [], "auth": auth})
