"""The `fac-datasets` command."""

from fac_datasets.cli.main import app, main

__all__ = ["app", "main"]
