"""Names that a text generator gives from marked excerpts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.excerpts import harmless, marked_excerpts
from fac_datasets.interpretation.explainers.base import CANNOT_TELL, Explainer, Explanation, Span
from fac_datasets.interpretation.questions import ANSWER_TOKENS, Prompt, Unanswered, ask, opened, value_of

_LONGEST_NAME = 200
"""Characters of a name that a generator may give."""

_NAME = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "name": {"type": ["string", "null"]}},
    "required": ["reason", "name"],
    "additionalProperties": False,
}
"""JSON schema of an answer with a name."""


class LLMExplainer(Explainer):
    """Has a text generator name features from marked excerpts; "cannot tell" is an answer.

    Args:
        generator: any.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.

    Example:
        >>> from fac_datasets import LocalGenerator
        >>> LLMExplainer(LocalGenerator()).name
        'SmolLM2-135M-Instruct@...'
    """

    asks = True

    def __init__(
        self,
        generator: TextGenerator,
        journal: str | Path | Journal | None = None,
        *,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> None:
        self.generator, self.journal, self.answer_tokens = generator, journal, answer_tokens
        self.name = generator.name

    @classmethod
    def made(cls, generator: TextGenerator | None, journal: Journal, answer_tokens: int) -> LLMExplainer:
        """See `Explainer.made`."""
        assert generator is not None
        return cls(generator, journal, answer_tokens=answer_tokens)

    def explain(self, spans: Sequence[Sequence[Span]]) -> list[Explanation]:
        """See `Explainer.explain`.

        Raises:
            OptionError: none of the first answers came to its end within `answer_tokens`.
            GenerationError: the generator gives no answers; those until then are in the journal, if there is one.
        """
        shown = [place for place, of_feature in enumerate(spans) if of_feature]
        result = [Explanation(None, CANNOT_TELL)] * len(spans)
        with opened(self.journal) as journal:
            answers = ask(
                self.generator,
                journal,
                self.requests([spans[i] for i in shown]),
                read_name,
                what="name features",
                answer_tokens=self.answer_tokens,
            )
        for place, answer in zip(shown, answers, strict=True):
            result[place] = Explanation(None, answer.problem) if isinstance(answer, Unanswered) else answer
        return result

    @staticmethod
    def requests(spans: Sequence[Sequence[Span]]) -> list[Request]:
        """The questions that are asked about features."""
        prompt = Prompt.load("explain")
        return [prompt.request(_NAME, excerpts=marked_excerpts(of_feature)) for of_feature in spans]


def read_name(answer: dict[str, Any]) -> Explanation:
    """The name in an answer.

    Raises:
        ValueError: there is none.
    """
    name = value_of(answer, "name")
    if name is None:
        return Explanation(None, CANNOT_TELL)
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise ValueError(f"{name!r} is no name")
    return Explanation(" ".join(harmless(name).split()))
