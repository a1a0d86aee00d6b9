"""Unguided samples: the control that shows what as many tokens gain without aiming at features."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.errors import LimitReached, SynthesisError
from fac_datasets.generation.base import TextGenerator, counts_in_words
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.asking import Asker
from fac_datasets.synthesis.drafting import answered
from fac_datasets.synthesis.drafts import Draft, Wish
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.prompting import prompts_of
from fac_datasets.synthesis.sample_journal import NO_FEATURE, VERIFIED, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.showing import EXAMPLES
from fac_datasets.synthesis.together import run_together

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

logger = logging.getLogger(__name__)

PROMPTS = 16
"""Different prompts in a batch, each for two samples."""

LEAST_ASKED = 4
"""Samples that are asked for together at least."""

MOST_DECODED = 20
"""The control gives up when it has decoded this many times the tokens asked for, or tried so many times the samples."""

UNGUIDED = "unguided"
"""What a verdict calls this way of generating."""

_HOPELESS = 64
"""As many first answers, none of which is a sample, are no accident."""


def synthesize_unguided(
    kind: DataKind,
    seed_rows: Sequence[Sample],
    *,
    known: Sequence[str],
    n_tokens: int | None = None,
    most: int | None = None,
    extractor: FeatureExtractor,
    generator: TextGenerator,
    prompts: str | Path | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.8,
    seed: int = 0,
    journal: SampleJournal | None = None,
) -> datasets.Dataset:
    """Generate samples from random seed rows as examples until they hold `n_tokens` own tokens, or are `most`.

    The generator, the prompts' form and the filters are those of `synthesize`; only the aim is missing.

    Args:
        kind: of data.
        seed_rows: that serve as examples; see `fac_datasets.synthesis.showing.Shelf`.
        known: texts that a sample must not copy.
        n_tokens: own tokens to reach; the last row may exceed it. With the same journal, more tokens go on from fewer.
        most: samples to reach; one of the two is given.
        extractor: counts own tokens.
        generator: writes the samples.
        prompts: folder with prompts in place of ours.
        max_new_tokens: tokens of an answer; of a part where parts are asked for one by one.
        temperature: of the sampling.
        seed: of prompts and sampling.
        journal: keeps completions and verdicts.

    Returns:
        Rows in the columns of the kind; fewer tokens than asked for where the filters rejected nearly everything, none
        of the first 64 answers was a sample, or a limit of the journal was reached.

    Raises:
        SynthesisError: there is no seed row to show.
    """
    import datasets
    from tqdm.auto import tqdm

    if not seed_rows:
        raise SynthesisError(f"no row of the seed has all of {list(kind.parts)}, so that no example can be shown")
    book = journal or SampleJournal()
    asker = Asker(kind, prompts_of(kind, prompts), generator, extractor, book, max_new_tokens, temperature)
    filters = Filters(known, Demands(wording=asker.prompts.wording))
    rows: list[dict[str, object]] = []
    outcomes: Counter[str] = Counter()
    reached = spent = 0
    quiet = datasets.utils.are_progress_bars_disabled()
    unit, goal = ("tok", n_tokens) if n_tokens is not None else ("sample", most or 0)
    with tqdm(total=goal, unit=unit, desc="unguided control", disable=quiet) as bar:
        left = itertools.chain.from_iterable(_asked(asker, seed_rows, [seed, n]) for n in itertools.count())
        while reached < goal and spent <= MOST_DECODED * goal:
            if not rows and outcomes.total() >= _HOPELESS:
                counts = counts_in_words(outcomes)
                logger.warning("unguided: none of the first %d answers is a sample: %s", outcomes.total(), counts)
                break
            # Hardly more than are needed, since each is paid for.
            wanted = (goal - reached) // (max_new_tokens if n_tokens is not None else 1)
            asked = list(itertools.islice(left, min(max(wanted, LEAST_ASKED), 2 * PROMPTS)))
            try:
                drafts = run_together([_written(*each, asker) for each in asked], asker.answer)
            except LimitReached:
                break
            for draft, found in drafts:
                spent += draft.decoded_tokens if n_tokens is not None else 1
                outcome = found.reason if isinstance(found, Rejected) else filters.reject(found.whole)
                if outcome is None and reached >= goal:
                    outcome = "not needed"
                outcomes[outcome or VERIFIED] += 1
                took = (draft.decoded_tokens, draft.prompt_tokens)
                book.judge(draft.key, Verdict(NO_FEATURE, 0.0, outcome or VERIFIED, UNGUIDED, *took))
                if outcome is None and isinstance(found, Sample):
                    filters.add(found.whole)
                    rows.append(kind.cells(found))
                    windows = extractor.windows([kind.measured(found)]) if n_tokens is not None else []
                    gained = sum(int(window.own.sum()) for window in windows) if n_tokens is not None else 1
                    reached += gained
                    bar.update(gained)
    return dataset_of(rows, kind.features)


async def _written(
    messages: tuple[tuple[str, str], ...], like: Sample, seed: int, asker: Asker
) -> tuple[Draft, Sample | Rejected]:
    draft = await answered(Wish(), messages, like, asker, seed)
    return await asker.sample(draft, like, seed)


def _asked(
    asker: Asker, seed_rows: Sequence[Sample], entropy: list[int]
) -> list[tuple[tuple[tuple[str, str], ...], Sample, int]]:
    """What a batch asks: messages, the row that they ask for another of, and the seed of the sampling."""
    generator = np.random.default_rng(entropy)
    asked = []
    for _ in range(PROMPTS):
        picked = generator.choice(len(seed_rows), size=min(EXAMPLES, len(seed_rows)), replace=False)
        shown = [seed_rows[place] for place in picked]
        messages = asker.prompts.messages(asker.kind, shown, shown[-1], as_json=asker.with_schema)
        asked += [(messages, shown[-1], int(generator.integers(2**32))) for _ in range(2)]
    return asked
