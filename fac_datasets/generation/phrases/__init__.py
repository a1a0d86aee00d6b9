"""Phrases of models in several languages, as regular expressions: a file for each thing that they say."""

from __future__ import annotations

from pathlib import Path


def phrases(name: str) -> list[str]:
    """The expressions of a file; the lines of each belong together.

    Args:
        name: of the file, without its ending.
    """
    _, *paragraphs = (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    return ["".join(paragraph.splitlines()) for paragraph in paragraphs]
