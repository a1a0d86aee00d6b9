"""Whether what a sample claims holds: its label, its response, the order of its pair, as a text generator judges it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.questions import ANSWER_TOKENS, VERDICT, Unanswered, ask, opened, read_verdict
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.prompting import FOLDER, sections_of
from fac_datasets.synthesis.samples import Sample

PLACES: Mapping[str, tuple[str, ...]] = {
    "system": (),
    "label": ("examples", "label", "labels", "text"),
    "response": ("chat", "response"),
    "order": ("examples", "chat", "first", "second"),
    "behaviour": ("examples", "question", "first", "second"),
}
"""The sections of the file of prompts, and the places that each has to hold."""

EXAMPLES = 8
"""Rows of the seed that are shown to say what labels, order and behaviour mean."""

_HOLDS = ("yes", "probably")


class Verifier:
    """Asks a generator whether label, response or order hold; what only may hold does not.

    Which of two sides is shown first is drawn by a sample's text, so that liking the first one helps nobody.

    Args:
        generator: answers.
        journal: keeps the answers; a path or a Journal.
        folder: with a file `verify.md` in place of ours.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.
    """

    def __init__(
        self,
        generator: TextGenerator,
        journal: str | Path | Journal | None = None,
        folder: str | Path | None = None,
        *,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> None:
        self.generator, self.journal, self.answer_tokens = generator, journal, answer_tokens
        self.name = generator.name
        own = Path(folder or FOLDER) / "verify.md"
        self._sections = sections_of(own if own.is_file() else FOLDER / own.name, PLACES)

    def rejects(self, kind: DataKind, samples: Sequence[Sample], examples: Sequence[Sample]) -> list[str | None]:
        """Why each sample is rejected; None where it holds, or where its kind claims nothing.

        Args:
            kind: of the samples.
            samples: to check.
            examples: rows of the seed, which show what labels, order and behaviour mean.

        Returns:
            A reason a sample: what does not hold, or that the verifier gave no answer.

        Raises:
            GenerationError: the generator gives no answers; those until then are in the journal, if there is one.
        """
        if not kind.claims:
            return [None] * len(samples)
        shown = examples[:EXAMPLES]
        asked = [self._request(kind, sample, shown) for sample in samples]
        with opened(self.journal) as journal:
            answers = ask(
                self.generator,
                journal,
                [request for request, _ in asked],
                read_verdict,
                what=f"check {kind.claims}s",
                answer_tokens=self.answer_tokens,
            )
        return [
            self._reason(kind.claims, answer, expected) for answer, (_, expected) in zip(answers, asked, strict=True)
        ]

    def _request(self, kind: DataKind, sample: Sample, examples: Sequence[Sample]) -> tuple[Request, bool]:
        """The question about a sample, and whether yes is the answer by which it holds."""
        is_turned = kind.claims in ("order", "behaviour") and _is_odd(sample)
        values = kind.claim(sample)
        if is_turned:
            values = {**values, "first": values["second"], "second": values["first"]}
        if "examples" in PLACES[kind.claims]:
            values["examples"] = "\n".join(_as_json(kind, example) for example in examples)
        messages = (
            ("system", self._sections["system"].substitute()),
            ("user", self._sections[kind.claims].substitute(values)),
        )
        return Request(messages, seed=0, schema=VERDICT), not is_turned

    @staticmethod
    def _reason(claims: str, answer: tuple[str, str | None] | Unanswered, expected: bool) -> str | None:
        if isinstance(answer, Unanswered):
            return f"{claims} not checked: {answer.problem}"
        verdict = answer[0]
        holds = verdict in _HOLDS if expected else verdict == "no"
        return None if holds else f"{claims} does not hold"


def _is_odd(sample: Sample) -> bool:
    return hashlib.sha256(sample.whole.encode()).digest()[0] % 2 == 1


def _as_json(kind: DataKind, example: Sample) -> str:
    label = {"class": kind.label_name(example.label)} if kind.labels else {}
    return json.dumps({**example.texts, **label}, ensure_ascii=False)
