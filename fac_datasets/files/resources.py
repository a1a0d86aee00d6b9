"""Finds the metrics, Spaces and card templates, in a wheel or in a checkout."""

from __future__ import annotations

from pathlib import Path


def resource_folder(kind: str) -> Path:
    """The folder `metrics`, `spaces` or `cards`.

    Raises:
        FileNotFoundError: the installation lacks it.

    Example:
        >>> (resource_folder("metrics") / "fac" / "fac.py").is_file()
        True
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_resources" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of fac-datasets lacks its {kind!r} folder; install it again")
