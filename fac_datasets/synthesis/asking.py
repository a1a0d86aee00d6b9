"""What ways of generating ask for: prompts for a target, answers of the generator, and measurements of texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.generation.base import Completion, Request, Steering, TextGenerator
from fac_datasets.synthesis.measuring import Measured, measure
from fac_datasets.synthesis.methods.base import Draft
from fac_datasets.synthesis.prompting import Prompts, Scored, Told
from fac_datasets.synthesis.together import Pending

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.rows.row import Row
    from fac_datasets.synthesis.kinds.base import DataKind
    from fac_datasets.synthesis.pursuit import Pursuit, Try
    from fac_datasets.synthesis.sample_journal import SampleJournal
    from fac_datasets.synthesis.samples import Sample


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
    likelihoods: Callable[[Sequence[str]], NDArray[Any]]
    """Mean negative log-likelihood a token of texts, under the unsteered backbone."""
    max_new_tokens: int
    temperature: float
    with_schema: bool = False
    """Whether answers are asked for as JSON, which the generator's server holds them to."""

    @property
    def can_steer(self) -> bool:
        """Whether the generator runs the backbone of the SAE and takes steering, and the SAE reads a decoder block."""
        space = self.extractor.feature_space
        same_model = self.generator.name == f"{space.backbone}@{space.backbone_digest}"
        return self.generator.can_steer and same_model and space.layer > 0

    def prompt(
        self, pursuit: Pursuit, *, change: Sample | None = None, must_hold: str = ""
    ) -> tuple[tuple[str, str], ...]:
        """The prompt for a target: examples, the feature's name, and the best and the worst try where they differ.

        Args:
            pursuit: the target.
            change: a sample that is to be changed.
            must_hold: words that have to occur.
        """
        pair = pursuit.contrastive_pair
        good, bad = (_scored(one) for one in pair) if pair and change is None else (None, None)
        told = Told(pursuit.target.name, must_hold, good, bad, change)
        return self.prompts.messages(self.kind, pursuit.examples, pursuit.like, told, as_json=self.with_schema)

    async def write(
        self,
        messages: tuple[tuple[str, str], ...],
        seed: int,
        *,
        prefix: str = "",
        steering: Steering | None = None,
        max_new_tokens: int | None = None,
    ) -> Draft:
        """One answer to a prompt."""
        (draft,) = await self.write_several(
            messages, [seed], prefix=prefix, steering=steering, max_new_tokens=max_new_tokens
        )
        return draft

    async def write_several(
        self,
        messages: tuple[tuple[str, str], ...],
        seeds: Sequence[int],
        *,
        prefix: str = "",
        steering: Steering | None = None,
        max_new_tokens: int | None = None,
    ) -> list[Draft]:
        """Answers to one prompt, one a seed."""
        schema = self.kind.json_schema() if self.with_schema and not prefix else None
        requests = tuple(Request(messages, seed, steering, schema, prefix) for seed in seeds)
        answers = await self.answers(self.generator, requests, max_new_tokens)
        return [
            Draft(answer, (key,), request.prompt_digest, answer.n_tokens, answer.prompt_tokens, steering)
            for request, (key, answer) in zip(requests, answers, strict=True)
        ]

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

    async def negative_log_likelihoods(self, texts: Sequence[str]) -> NDArray[Any]:
        """Mean negative log-likelihood a token of each text."""
        found: NDArray[Any] = await Pending(_Judge(tuple(texts)))
        return found

    def answer(self, questions: Sequence[_Write | _Measure | _Judge]) -> list[Any]:
        """Answers to the questions of all drafts, those of one sort in as few batches as can be."""
        found: list[Any] = [None] * len(questions)
        writes = [(place, one) for place, one in enumerate(questions) if isinstance(one, _Write)]
        for (_, most), group in itertools.groupby(
            sorted(writes, key=lambda item: (item[1].generator.key, item[1].max_new_tokens)),
            key=lambda item: (item[1].generator.key, item[1].max_new_tokens),
        ):
            asked = list(group)
            requests = [request for _, one in asked for request in one.requests]
            completions = iter(
                self.journal.generate(
                    asked[0][1].generator, requests, max_new_tokens=most, temperature=self.temperature
                )
            )
            for place, one in asked:
                found[place] = list(itertools.islice(completions, len(one.requests)))
        measured = [(place, one) for place, one in enumerate(questions) if isinstance(one, _Measure)]
        values = iter(measure(self.extractor, [row for _, one in measured for row in one.rows]) if measured else ())
        for place, one in measured:
            found[place] = list(itertools.islice(values, len(one.rows)))
        judged = [(place, one) for place, one in enumerate(questions) if isinstance(one, _Judge)]
        if judged:
            likely = self.likelihoods([text for _, one in judged for text in one.texts])
            start = 0
            for place, one in judged:
                found[place] = likely[start : start + len(one.texts)]
                start += len(one.texts)
        return found


def _scored(one: Try) -> Scored:
    """A try as an example, with the place marked where the feature peaks."""
    shown = one.sample.marked(one.part, one.start, one.end) if one.part and one.activation > 0 else one.sample
    return Scored(shown, one.activation)
