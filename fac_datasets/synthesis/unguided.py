"""Unguided samples: the control that shows what as many tokens gain without aiming at features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.errors import LimitReached, SynthesisError
from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.prompting import Prompts, prompts_of
from fac_datasets.synthesis.sample_journal import NO_FEATURE, VERIFIED, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Rejected, Sample, no_text
from fac_datasets.synthesis.showing import EXAMPLES

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

PROMPTS = 16
"""Different prompts in a batch, each for two samples."""

MOST_DECODED = 20
"""The control gives up when it has decoded this many times the tokens asked for, or tried so many times the samples."""

UNGUIDED = "unguided"
"""What a verdict calls this way of generating."""


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
        max_new_tokens: tokens of a sample.
        temperature: of the sampling.
        seed: of prompts and sampling.
        journal: keeps completions and verdicts.

    Returns:
        Rows in the columns of the kind; fewer tokens than asked for where the filters rejected nearly everything, or
        where a limit of the journal was reached.

    Raises:
        SynthesisError: there is no seed row to show.
    """
    import datasets
    from tqdm.auto import tqdm

    if not seed_rows:
        raise SynthesisError(f"no row of the seed has all of {list(kind.parts)}, so that no example can be shown")
    book = journal or SampleJournal()
    filters = Filters(known)
    form = prompts_of(kind, prompts)
    rows: list[dict[str, object]] = []
    reached = spent = 0
    quiet = datasets.utils.are_progress_bars_disabled()
    unit, goal = ("tok", n_tokens) if n_tokens is not None else ("sample", most or 0)
    with tqdm(total=goal, unit=unit, desc="unguided control", disable=quiet) as bar:
        for number in itertools.count():
            if reached >= goal or spent > MOST_DECODED * goal:
                break
            asked = _requests(kind, form, seed_rows, [seed, number])
            requests = [request for request, _ in asked]
            try:
                answers = book.generate(generator, requests, max_new_tokens=max_new_tokens, temperature=temperature)
            except LimitReached:
                break
            for (_, like), (key, completion) in zip(asked, answers, strict=True):
                spent += completion.n_tokens if n_tokens is not None else 1
                found = no_text(completion) or kind.read(completion.text, completion.finished, like)
                outcome = found.reason if isinstance(found, Rejected) else filters.reject(found.whole)
                if outcome is None and reached >= goal:
                    outcome = "not needed"
                took = (completion.n_tokens, completion.prompt_tokens)
                book.judge(key, Verdict(NO_FEATURE, 0.0, outcome or VERIFIED, UNGUIDED, *took))
                if outcome is None and isinstance(found, Sample):
                    filters.add(found.whole)
                    rows.append(kind.cells(found))
                    windows = extractor.windows([kind.measured(found)]) if n_tokens is not None else []
                    gained = sum(int(window.own.sum()) for window in windows) if n_tokens is not None else 1
                    reached += gained
                    bar.update(gained)
    return dataset_of(rows, kind.features)


def _requests(
    kind: DataKind, prompts: Prompts, seed_rows: Sequence[Sample], entropy: list[int]
) -> list[tuple[Request, Sample]]:
    """A batch of requests, each with the row that it asks for another of."""
    generator = np.random.default_rng(entropy)
    requests = []
    for _ in range(PROMPTS):
        picked = generator.choice(len(seed_rows), size=min(EXAMPLES, len(seed_rows)), replace=False)
        shown = [seed_rows[place] for place in picked]
        messages = prompts.messages(kind, shown, shown[-1])
        requests += [(Request(messages, int(generator.integers(2**32))), shown[-1]) for _ in range(2)]
    return requests
