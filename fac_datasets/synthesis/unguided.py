"""Unguided samples: the control that shows what as many tokens gain without aiming at features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.prompting import example_of, prompts_of
from fac_datasets.synthesis.sample_journal import VERIFIED, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.synthesize import EXAMPLES, ROUNDS

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

PROMPTS = 16
"""Different prompts in a batch."""

MOST_DECODED = 20
"""The control gives up when it has decoded this many times the tokens asked for."""

NO_FEATURE = -1
"""Stands in a verdict for a sample that was made for no feature."""


def synthesize_unguided(
    seed_texts: Sequence[str],
    *,
    known: Sequence[str],
    n_tokens: int,
    extractor: FeatureExtractor,
    generator: TextGenerator,
    kind: str = "text",
    max_new_tokens: int = 128,
    temperature: float = 0.8,
    seed: int = 0,
    journal: SampleJournal | None = None,
) -> datasets.Dataset:
    """Generate samples from random seed rows as examples until they hold `n_tokens` own tokens.

    The generator, the prompts' form and the filters are those of `synthesize`; only the aim is missing.

    Args:
        seed_texts: rows that serve as examples.
        known: texts that a sample must not copy.
        n_tokens: own tokens to reach; the last row may exceed it.
        extractor: counts own tokens.
        generator: writes the samples.
        kind: of data.
        max_new_tokens: tokens of a sample.
        temperature: of the sampling.
        seed: of prompts and sampling.
        journal: keeps completions and verdicts.

    Returns:
        Rows of `text`; fewer tokens than asked for where the filters rejected nearly everything.
    """
    import datasets
    from tqdm.auto import tqdm

    book = journal or SampleJournal()
    filters = Filters(known)
    data_format = recognise(datasets.Dataset.from_dict({"text": [""]}), kind)
    texts: list[str] = []
    reached = 0
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=n_tokens, unit="tok", desc="unguided control", disable=quiet) as bar:
        for number in itertools.count():
            if reached >= n_tokens or book.decoded_tokens() > MOST_DECODED * n_tokens:
                break
            requests = _requests(data_format, seed_texts, [seed, number])
            completions = book.generate(generator, requests, max_new_tokens=max_new_tokens, temperature=temperature)
            for key, completion in completions:
                found = data_format.read(completion.text, completion.finished)
                text = "" if isinstance(found, Rejected) else found.texts["text"]
                outcome = found.reason if isinstance(found, Rejected) else filters.reject(text)
                if outcome is None and reached >= n_tokens:
                    outcome = "not needed"
                book.judge(key, Verdict(NO_FEATURE, 0.0, outcome or VERIFIED))
                if outcome is None and text:
                    filters.add(text)
                    texts.append(text)
                    gained = sum(int(window.own.sum()) for window in extractor.windows([text]))
                    reached += gained
                    bar.update(gained)
    return datasets.Dataset.from_dict({"text": texts})


def _requests(kind: DataKind, seed_texts: Sequence[str], entropy: list[int]) -> list[Request]:
    """A batch of requests, as many a prompt as in the first round of `synthesize`."""
    generator = np.random.default_rng(entropy)
    requests = []
    for _ in range(PROMPTS):
        picked = generator.choice(len(seed_texts), size=min(EXAMPLES, len(seed_texts)), replace=False)
        shown = [Sample({"text": example_of(seed_texts[i])}) for i in picked]
        messages = prompts_of(kind).messages(kind, shown, shown[0])
        requests += [Request(messages, int(generator.integers(2**32))) for _ in range(ROUNDS[0].samples)]
    return requests
