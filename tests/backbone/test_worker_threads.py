"""Worker processes count each other under any user."""

from __future__ import annotations

import pwd

import pytest

from fac_datasets.backbone.worker_threads import n_workers


def test_workers_are_counted_for_a_user_without_an_entry_in_passwd(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert n_workers() >= 1
