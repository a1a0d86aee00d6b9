"""Who is on the Hub, and what their tokens may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.servers.hub_double.messages import Json, Request, Response, json_response

WRITE_TOKEN, READ_TOKEN, FINE_TOKEN, OTHER_TOKEN = "hf_me_write", "hf_me_read", "hf_me_fine", "hf_other_write"


@dataclass(frozen=True)
class Account:
    """Whose a token is, and what it may do."""

    name: str
    role: Literal["read", "write", "fineGrained"]


class Accounts:
    """All tokens and organizations."""

    def __init__(self) -> None:
        self.by_token = {
            WRITE_TOKEN: Account("me", "write"),
            READ_TOKEN: Account("me", "read"),
            FINE_TOKEN: Account("me", "fineGrained"),
            OTHER_TOKEN: Account("other", "write"),
        }
        self.organizations: dict[str, dict[str, Literal["read", "write", "admin"]]] = {
            "team": {"me": "write"},
            "readers": {"me": "read"},
        }
        """Roles of the members of each."""
        self.fine_token_writes = False
        """Whether the fine-grained token may write."""

    def belongs(self, account: Account | None, owner: str) -> bool:
        """Whether an account is an owner of repositories, or a member of it."""
        return account is not None and (account.name == owner or account.name in self.organizations.get(owner, {}))

    def writes(self, account: Account) -> bool:
        """Whether a token may write at all."""
        return account.role == "write" or (account.role == "fineGrained" and self.fine_token_writes)

    def may_write(self, account: Account, owner: str) -> bool:
        """Whether a token may create and change repositories of an owner."""
        role = self.organizations.get(owner, {}).get(account.name)
        return self.writes(account) and (account.name == owner or role in ("write", "admin"))


def whoami(request: Request) -> Response:
    """Tell whose the token is, and to which organizations its account belongs."""
    account, accounts = request.require_account(), request.hub.accounts
    organizations = [
        {"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": members[account.name]}
        for name, members in accounts.organizations.items()
        if account.name in members
    ]
    token: Json = {"displayName": "token", "role": account.role}
    if account.role == "fineGrained":
        permissions = ["repo.content.read", *(["repo.write"] if accounts.fine_token_writes else [])]
        scope = {"entity": {"type": "user", "name": account.name}, "permissions": permissions}
        token["fineGrained"] = {"global": [], "scoped": [scope]}
    auth = {"type": "access_token", "accessToken": token}
    identity = {"type": "user", "id": account.name, "name": account.name, "fullname": account.name}
    return json_response({**identity, "orgs": organizations, "auth": auth})
