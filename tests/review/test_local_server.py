"""Without a server, the demo says how to get one."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fac_datasets.cli.main import app


def test_without_a_server_the_demo_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fac_datasets.review.local_server.installed_server", lambda: None)
    result = CliRunner().invoke(app, ["review", "demo"])
    assert result.exit_code == 0
    for way in ("argilla/argilla-template-space", "docker compose up", "make argilla", "ARGILLA_API_KEY"):
        assert way in result.output
