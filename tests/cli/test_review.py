"""`fac-datasets review`, as far as it needs no server."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from fac_datasets.cli.main import app
from fac_datasets.errors import OptionError
from tests.servers.argilla.fixtures import feature, table_of


def test_a_report_that_cannot_be_read_is_told_of(tmp_path: Any) -> None:
    table_of(feature(1)).to_parquet(tmp_path / "table.parquet")
    arguments = ["review", "push", "explanations", str(tmp_path / "table.parquet"), "--name", "n"]
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path / "none.json")])
    assert isinstance(result.exception, OptionError) and "none.json cannot be read" in str(result.exception)
