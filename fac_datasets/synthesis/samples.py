"""What a sample is whatever its kind: texts by part, with the label and system prompt of the row that it is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fac_datasets.generation.base import Completion, Outcome


@dataclass(frozen=True)
class Sample:
    """A row of a dataset as its kind reads it.

    Example:
        >>> Sample({"prompt": "Name a fruit.", "response": "A pear."}).marked("response", 2, 6).texts["response"]
        'A **pear**.'
    """

    texts: Mapping[str, str]
    """What was written, by part, in the order of the parts."""
    label: Any = None
    """Its label, in the type of the seed's; it is asked for, not written."""
    system: str = ""
    """Its system prompt, which is that of the row that it is like; none is ever written."""

    @property
    def whole(self) -> str:
        """All texts, a line each."""
        return "\n".join(self.texts.values())

    def marked(self, part: str, start: int, end: int) -> Sample:
        """The same with `**` around some characters of a part, for showing where a feature peaks."""
        text = self.texts[part]
        return replace(self, texts={**self.texts, part: f"{text[:start]}**{text[start:end]}**{text[end:]}"})


class Rejected(NamedTuple):
    """What stands in place of a sample where an answer holds none."""

    reason: str
    """A few words that are counted, the same for all answers with this fault."""


def no_text(completion: Completion) -> Rejected | None:
    """Why an answer is no text, as far as the generator knows; None where its text is to be read, cut off or not.

    Example:
        >>> no_text(Completion("Half a text", 3, False, problem="stopped by a content filter"))
        Rejected(reason='stopped by a content filter')
    """
    outcome = completion.outcome
    return None if outcome in (Outcome.FINISHED, Outcome.CUT) else Rejected(str(outcome))
