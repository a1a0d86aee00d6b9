"""Prompts for samples: a file a kind, with places to fill in, of ours or of a folder that a user names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import NamedTuple

from fac_datasets.errors import OptionError
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.samples import Sample

FOLDER = Path(__file__).parent / "prompts"

PLACES: Mapping[str, tuple[str, ...]] = {
    "system": (),
    "ask": (),
    "context": ("system",),
    "label": ("label",),
    "feature": ("name",),
    "good": ("sample", "score"),
    "real": ("sample", "score"),
    "bad": ("sample", "score"),
    "change": ("sample",),
    "phrase": ("phrase",),
}
"""The sections that a file may have, and the places that each has to hold."""

ALWAYS = ("system", "ask", "feature", "good", "real", "bad", "change", "phrase")
"""Sections of every kind; others are those that a kind names as `prompt_sections`."""

_PLACE = re.compile(r"\$\w+")
_HEADING = re.compile(r"^# (\w+)[ \t]*$", re.MULTILINE)


EXAMPLE_CHARACTERS = 240
"""Longer parts of examples are cut to this many characters."""

SYSTEM_CHARACTERS = 480
"""The same of a system prompt, which a sample keeps whole."""

_WORD = 24
"""Characters up to the next blank, at most, where a text is cut between words: some scripts have no blanks."""


def example_of(text: str, place: int = 0, most: int = EXAMPLE_CHARACTERS) -> str:
    """A text as an example in a prompt: whole, or what stands around a character where it is long.

    Example:
        >>> example_of("one two three four five six seven", place=19, most=16)
        'four five'
    """
    text = text.strip()
    begin = max(0, min(place - most // 2, len(text) - most))
    shown = text[begin : begin + most]
    if begin:
        word, *rest = shown.split(None, 1)
        shown = rest[0] if rest and len(word) <= _WORD else shown
    if begin + most < len(text):
        *rest, word = shown.rsplit(None, 1)
        shown = rest[0] if rest and len(word) <= _WORD else shown
    return shown.strip()


class Scored(NamedTuple):
    """A sample as the good or the bad example, with what was measured of it."""

    sample: Sample
    """Where the feature peaks, marked; see `Sample.marked`."""
    activation: float
    is_real: bool = False
    """Whether it is a row of the anchor, and not one that was written."""


@dataclass(frozen=True)
class Told:
    """What a prompt tells of the feature that is missing; what is not known is left out."""

    name: str = ""
    phrase: str = ""
    """Words that have to occur."""
    good: Scored | None = None
    bad: Scored | None = None
    change: Sample | None = None
    """To be changed, instead of written anew."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a kind of data."""

    sections: Mapping[str, Template]

    @property
    def wording(self) -> tuple[str, ...]:
        """What stands between the places of its sections.

        Example:
            >>> from fac_datasets.synthesis.kinds import KINDS
            >>> "It has to be of the class: " in prompts_of(KINDS["labelled-text"]).wording
            True
        """
        return tuple(text for section in self.sections.values() for text in _PLACE.split(section.template))

    def messages(
        self,
        kind: DataKind,
        examples: Sequence[Sample],
        like: Sample,
        told: Told | None = None,
        *,
        as_json: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        """Messages that ask for a sample, with examples as earlier answers, which small models follow best.

        Args:
            kind: shows samples as answers.
            examples: rows of the seed and the anchor, the best last, next to the answer.
            like: whose label and system prompt the sample gets.
            told: of the feature.
            as_json: examples are shown as JSON, for a server that takes `kind.json_schema()`.

        Returns:
            Role and content of each message.

        Example:
            >>> from datasets import Dataset
            >>> from fac_datasets.synthesis.kinds import recognise
            >>> kind = recognise(Dataset.from_dict({"text": ["Pears are ripe.", "Plums are not."]}))
            >>> examples = [Sample({"text": "Pears are ripe."})]
            >>> *_, asked = prompts_of(kind).messages(kind, examples, examples[0], Told(name="fruit"))
            >>> asked
            ('user', 'It has to show this: fruit\\n\\nWrite one.')
        """
        messages = [("system", self._filled("system"))]
        for example in examples:
            messages += [("user", self._asked(kind, example)), ("assistant", kind.show(example, as_json=as_json))]
        return (*messages, ("user", self._asked(kind, like, told or Told(), as_json=as_json)))

    def _asked(self, kind: DataKind, like: Sample, told: Told | None = None, *, as_json: bool = False) -> str:
        lines = []
        if told is not None:
            if told.name:
                lines.append(self._filled("feature", name=told.name))
            strong = "real" if told.good is not None and told.good.is_real else "good"
            for section, scored in ((strong, told.good), ("bad", told.bad)):
                if scored is not None:
                    shown = kind.show(scored.sample, as_json=as_json)
                    lines.append(self._filled(section, sample=shown, score=f"{scored.activation:.2f}"))
            if told.change is not None:
                lines.append(self._filled("change", sample=kind.show(told.change, as_json=as_json)))
            if told.phrase:
                lines.append(self._filled("phrase", phrase=told.phrase))
        if like.system and "context" in self.sections:
            lines.append(self._filled("context", system=example_of(like.system, most=SYSTEM_CHARACTERS)))
        if kind.labels:
            lines.append(self._filled("label", label=kind.label_name(like.label)))
        return "\n\n".join([*lines, self._filled("ask")])

    def _filled(self, section: str, **values: str) -> str:
        return self.sections[section].substitute(values)


def prompts_of(kind: DataKind | type[DataKind], folder: str | Path | None = None) -> Prompts:
    """The prompts of a kind.

    Args:
        kind: whose file is `{kind.name}.md`: under a line `# system`, `# ask` and so on what stands there, with places
            such as `$name` (a dollar sign is `$$`). See `PLACES`.
        folder: that holds this file in place of ours.

    Raises:
        OptionError: the file is not there, lacks a section or a place, or has one that is not known.

    Example:
        >>> from fac_datasets.synthesis.kinds import KINDS
        >>> prompts_of(KINDS["labelled-text"]).sections["label"].template
        'It has to be of the class: $label'
    """
    path = Path(folder or FOLDER) / f"{kind.name}.md"
    if not path.is_file():
        raise OptionError(
            f"prompts={str(folder)!r} holds no file {path.name}; copy ours, {FOLDER / path.name}, and change it"
        )
    sections = sections_of(path, PLACES)
    lacking = [name for name in (*ALWAYS, *kind.prompt_sections) if name not in sections]
    if lacking:
        raise OptionError(f"{path} lacks the sections {lacking}; each begins with a line such as '# {lacking[0]}'")
    return Prompts(sections)


def prompts_digest(kind: DataKind, folder: str | Path | None = None) -> str:
    """What tells the prompts of a kind from others: first 16 hex digits of the sha256 over its file."""
    return hashlib.sha256((Path(folder or FOLDER) / f"{kind.name}.md").read_bytes()).hexdigest()[:16]


def sections_of(path: Path, places: Mapping[str, Sequence[str]]) -> dict[str, Template]:
    """The sections of a file of prompts, each with the places that it has to hold and no others.

    Raises:
        OptionError: the file cannot be read, or a section or a place is not known, missing, or there twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the prompts in {path} cannot be read: {error}") from error
    before, *rest = _HEADING.split(text)
    names = rest[::2]
    odd = next((name for name in names if name not in places or names.count(name) > 1), None)
    if before.strip() or odd:
        wrong = f"the section '# {odd}', which is none or there twice" if odd else "text before its first section"
        raise OptionError(f"{path} has {wrong}; its sections are {list(places)}")
    sections = {}
    for name, content in zip(names, rest[1::2], strict=True):
        template = Template(content.strip())
        if not template.is_valid() or {*template.get_identifiers()} != {*places[name]}:
            wanted = ", ".join(f"${place}" for place in places[name]) or "none"
            raise OptionError(f"the section '# {name}' of {path} has other places than {wanted} (a dollar sign is $$)")
        sections[name] = template
    return sections
