"""Samples that talk about themselves or about the task, instead of being what was asked for.

The rules lie beside this file, in `about_itself.toml`, each with examples. They say how such texts begin or end, since
in the middle of a text the same words are as good as any.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from fac_datasets.synthesis.filters.base import Filter, Sample

RULES_FILE = Path(__file__).with_suffix(".toml")


_AROUND = " \n\"'`*_#>()[]{}-\u201c\u201d\u201e\u00ab\u00bb\u00a1\u00bf\u2013\u2014"
"""What may stand around a text without being of it."""


class Rule(NamedTuple):
    """One way to talk about the task."""

    name: str
    at: str
    """Where it is looked for: at the `"start"`, at the `"end"`, or in the `"whole"` text."""
    pattern: re.Pattern[str]
    examples: tuple[str, ...]

    def holds(self, text: str) -> bool:
        """Whether a text, made plain, is so."""
        look = {"start": self.pattern.match, "end": self.pattern.search, "whole": self.pattern.fullmatch}[self.at]
        return look(text) is not None


def read_rules(path: Path = RULES_FILE) -> tuple[Rule, ...]:
    """The rules of a file."""
    read: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    rules = []
    for rule in read["rule"]:
        pattern = rule["pattern"]
        for name, words in read["words"].items():
            pattern = pattern.replace(f"{{{name}}}", words)
        if rule["at"] == "end":
            # Alone, "Let me know if you are coming." is as good a text as any.
            pattern = rf"(?:\n|[.!?:)\"] )[{re.escape(_AROUND)}]*(?:{pattern}).*\Z"
        rules.append(Rule(rule["name"], rule["at"], re.compile(pattern, re.IGNORECASE), tuple(rule["examples"])))
    return tuple(rules)


RULES = read_rules()


def broken_rule(text: str) -> str | None:
    """The first rule by which a text is about itself, by its name; None where none is.

    Example:
        >>> broken_rule("Sure! Here is a text:\\n\\nThe cat sat on the mat.")
        'agrees to the task'
        >>> broken_rule("The cat sat on the mat.") is None
        True
    """
    lines = (" ".join(line.split()) for line in text.replace("\u2019", "'").replace("*", "").splitlines())
    plain = "\n".join(line for line in lines if line).strip(_AROUND)
    return next((rule.name for rule in RULES if rule.holds(plain)), None)


class AboutItself(Filter):
    """Rejects samples that present, explain or describe themselves, or tell of the task.

    Where a sample has an answer, only its prompt is looked at.
    """

    reason = "about itself"
    turn = 15

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        return broken_rule(sample.text if sample.prompt is None else sample.prompt) is not None
