"""What ways of generating ask for: prompts for a target, answers of the generator, and measurements of texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fac_datasets.generation.base import Completion, Request, TextGenerator
from fac_datasets.synthesis.drafts import Draft, Wish
from fac_datasets.synthesis.measuring import Measured, measure
from fac_datasets.synthesis.prompting import EXAMPLE_CHARACTERS, Prompts, Scored, Told
from fac_datasets.synthesis.samples import Rejected, Sample, no_text
from fac_datasets.synthesis.showing import BEFORE_PEAK, shortened
from fac_datasets.synthesis.together import Pending

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.rows.row import Row
    from fac_datasets.synthesis.kinds.base import DataKind
    from fac_datasets.synthesis.pursuit import Pursuit, Try
    from fac_datasets.synthesis.sample_journal import SampleJournal

T = TypeVar("T")

TRY_CHARACTERS = 960
"""Longer parts of the good and the bad example are cut to this many characters."""


class _Write(NamedTuple):
    """Asks a generator for answers."""

    generator: TextGenerator
    requests: tuple[Request, ...]
    max_new_tokens: int


class _Measure(NamedTuple):
    """Asks the extractor for the activations of rows."""

    rows: tuple[Row, ...]


class _Judge(NamedTuple):
    """Asks the unsteered backbone how likely texts are."""

    texts: tuple[str, ...]


@dataclass
class Asker:
    """What all drafts of one synthesis ask; questions of the same moment are asked in one batch."""

    kind: DataKind
    prompts: Prompts
    generator: TextGenerator
    extractor: FeatureExtractor
    journal: SampleJournal
    max_new_tokens: int
    temperature: float
    likelihoods: Callable[[Sequence[str]], NDArray[Any]] | None = None
    """Mean negative log-likelihood a token of texts, under the unsteered backbone; None where nobody asks for it."""
    responder: TextGenerator | None = None
    """Writes responses in place of the generator."""

    @property
    def with_schema(self) -> bool:
        """Whether answers are asked for as JSON, which the generator's server holds them to.

        Where an answer can be begun, its parts are asked for one by one instead, which small models follow better.
        """
        return len(self.kind.parts) > 1 and self.generator.takes_schema and not self.generator.can_prefill

    @property
    def can_steer(self) -> bool:
        """Whether the generator runs the backbone of the SAE and takes steering, and the SAE reads a decoder block."""
        space = self.extractor.feature_space
        same_model = self.generator.name == space.backbone_name
        return self.generator.can_steer and same_model and space.layer > 0

    def prompt(self, wish: Wish, pursuit: Pursuit) -> tuple[tuple[str, str], ...]:
        """The prompt for a target: examples, the feature's name, and the best and the worst try where they differ.

        Where the feature is active in no try, a real row of the anchor stands in for the best, and is said to be one.
        """
        if wish.is_open:
            return ()
        pair = None if wish.change is not None else pursuit.contrastive_pair
        good, bad = (_scored(one, self.kind, is_real=one is pursuit.real) for one in pair) if pair else (None, None)
        told = Told(pursuit.target.name, wish.must_hold, good, bad, wish.change)
        return self.prompts.messages(self.kind, pursuit.examples, pursuit.like, told, as_json=self.with_schema)

    async def write(
        self,
        messages: tuple[tuple[str, str], ...],
        seeds: Sequence[int],
        wish: Wish,
        like: Sample,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Draft]:
        """Answers to one prompt, one a seed, with the parts of the row that they are asked to be like."""
        schema = self.kind.json_schema(like) if self.with_schema and not wish.is_open else None
        # Opened by its first header, an answer is in the form of the examples.
        prefix = "" if schema or wish.is_open or not self.generator.can_prefill else self.kind.begin("")
        requests = tuple(Request(messages, seed, wish.steering, schema, wish.prefix or prefix) for seed in seeds)
        answers = await self.answers(self.generator, requests, max_new_tokens)
        return [
            Draft(answer, (key,), request.prompt_digest, answer.n_tokens, answer.prompt_tokens, wish)
            for request, (key, answer) in zip(requests, answers, strict=True)
        ]

    async def sample(self, draft: Draft, like: Sample, seed: int) -> tuple[Draft, Sample | Rejected]:
        """The sample that a draft holds, with the response of a responder where there is one, or why there is none."""
        read = self.kind.opened if draft.wish.is_open else self.kind.read
        found = no_text(draft.answer) or read(draft.answer.text, draft.answer.finished, like)
        if isinstance(found, Rejected) or (self.responder is None and not draft.wish.is_open):
            return draft, found
        asked = self.kind.asks(found)
        if not asked:
            return draft, found
        ((key, answer),) = await self.answers(self.responder or self.generator, (Request(asked, seed),))
        draft = draft._replace(
            keys=(*draft.keys, key),
            decoded_tokens=draft.decoded_tokens + answer.n_tokens,
            prompt_tokens=draft.prompt_tokens + answer.prompt_tokens,
        )
        return draft, no_text(answer) or self.kind.answered(found, answer.text, answer.finished)

    async def answers(
        self, generator: TextGenerator, requests: tuple[Request, ...], max_new_tokens: int | None = None
    ) -> list[tuple[str, Completion]]:
        """Key in the journal and answer of each request to any generator, such as a responder."""
        asked = _Write(generator, requests, max_new_tokens or self.max_new_tokens)
        found: list[tuple[str, Completion]] = await Pending(asked)
        return found

    async def measure(self, rows: Sequence[Row]) -> list[Mapping[int, Measured]]:
        """The features of texts or rows, by id, measured by the unsteered backbone."""
        found: list[Mapping[int, Measured]] = await Pending(_Measure(tuple(rows)))
        return found

    async def negative_log_likelihoods(self, texts: Sequence[str]) -> list[float]:
        """Mean negative log-likelihood a token of each text."""
        found: list[float] = await Pending(_Judge(tuple(texts)))
        return found

    def answer(self, questions: Sequence[_Write | _Measure | _Judge]) -> list[Any]:
        """Answers to the questions of all drafts, those of one sort in as few batches as can be."""
        found: dict[int, Any] = {}
        numbered = list(enumerate(questions))
        found |= self._written([(place, one) for place, one in numbered if isinstance(one, _Write)])
        found |= self._measured([(place, one) for place, one in numbered if isinstance(one, _Measure)])
        found |= self._judged([(place, one) for place, one in numbered if isinstance(one, _Judge)])
        return [found[place] for place in range(len(questions))]

    def _written(self, questions: Sequence[tuple[int, _Write]]) -> dict[int, list[tuple[str, Completion]]]:
        found: dict[int, list[tuple[str, Completion]]] = {}
        alike: dict[tuple[str, int], list[tuple[int, _Write]]] = {}
        for place, one in questions:
            alike.setdefault((one.generator.key, one.max_new_tokens), []).append((place, one))
        for (_, max_new_tokens), group in alike.items():
            completions = self.journal.generate(
                group[0][1].generator,
                [request for _, one in group for request in one.requests],
                max_new_tokens=max_new_tokens,
                temperature=self.temperature,
            )
            found |= _dealt(completions, {place: len(one.requests) for place, one in group})
        return found

    def _measured(self, questions: Sequence[tuple[int, _Measure]]) -> dict[int, list[Mapping[int, Measured]]]:
        rows = [row for _, one in questions for row in one.rows]
        return _dealt(measure(self.extractor, rows), {place: len(one.rows) for place, one in questions})

    def _judged(self, questions: Sequence[tuple[int, _Judge]]) -> dict[int, list[float]]:
        if self.likelihoods is None or not questions:
            return {}
        found = self.likelihoods([text for _, one in questions for text in one.texts]).tolist()
        return _dealt(found, {place: len(one.texts) for place, one in questions})


def _dealt(found: Sequence[T], counts: Mapping[int, int]) -> dict[int, list[T]]:
    """Answers in a row, by the place of the question that as many of them belong to."""
    rest = iter(found)
    return {place: list(itertools.islice(rest, count)) for place, count in counts.items()}


def _scored(one: Try, kind: DataKind, *, is_real: bool) -> Scored:
    """A try as an example, with the place marked where the feature peaks."""
    most = EXAMPLE_CHARACTERS if is_real else TRY_CHARACTERS
    if not one.part or one.activation <= 0:
        return Scored(shortened(one.sample, kind=kind, most=most), one.activation, is_real)
    shown = one.sample.marked(one.part, one.start, one.end)
    up_to_peak = shown.texts[one.part][max(0, one.start - BEFORE_PEAK) : one.end + len("****")]
    return Scored(shortened(shown, up_to_peak, kind=kind, most=most), one.activation, is_real)
