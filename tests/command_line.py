"""Runs commands of the command line as a user would, in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from fac_datasets.cli.main import app


def command(*arguments: object) -> str:
    """Run a command; what it printed. Raises what it raises."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output
