"""What a synthesis asks for at most, and its control, for a plan before anything is paid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal, Limits, Plan
from fac_datasets.interpretation.questions import ANSWER_TOKENS, TRIES
from fac_datasets.synthesis.drafting import CHUNK_TOKENS, CONTINUATIONS
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.methods import ways_named
from fac_datasets.synthesis.prompting import Told, prompts_of
from fac_datasets.synthesis.pursuit import Pursuit
from fac_datasets.synthesis.unguided import MOST_DECODED, PROMPTS

_LONGER = 2
"""Prompts of later tries show a good and a bad sample beside what the first show, and so are at most so much longer."""


def most_asked(
    pursuits: Sequence[Pursuit],
    kind: DataKind,
    generator: TextGenerator,
    limits: Limits,
    *,
    responder: bool = False,
    verifier: bool = False,
    methods: str = "auto",
    prompts: str | Path | None = None,
    samples_per_feature: int = 1,
    max_samples: int | None = None,
    max_attempts: int = 8,
    max_new_tokens: int = 128,
    temperature: float = 0.8,
    answer_tokens: int = ANSWER_TOKENS,
    calibration: int = 0,
    has_control: bool = False,
) -> Plan:
    """The most that `synthesize` asks for, as if nothing were in its journal.

    Args:
        pursuits: the targets at their start.
        kind: of data.
        generator: that would be asked.
        limits: hold the prices.
        responder: whether another generator writes responses.
        verifier: whether a verifier is asked about each sample.
        methods, prompts, samples_per_feature, max_samples, max_attempts, max_new_tokens, temperature: see `synthesize`.
        answer_tokens: of the verifier.
        calibration: unguided samples that say what is fluent.
        has_control: whether as many unguided tokens follow.
    """
    form = prompts_of(kind, prompts)
    requests = [
        Request(form.messages(kind, one.examples, one.like, Told(one.target.name)), seed=one.feature)
        for one in pursuits
    ]
    once = Journal().plan(generator, requests, max_new_tokens=max_new_tokens, temperature=temperature)
    drafts = len(pursuits) * max_attempts
    ways = {method.name for way in ways_named(methods) for method in way.methods}
    # Where an answer lacks parts it is gone on with.
    parts = max((kind.most_calls(one.like) for one in pursuits), default=1) if generator.can_prefill else 1
    calls, decoded = drafts * parts, drafts * parts * max_new_tokens
    if "guided" in ways and generator.can_prefill:
        calls += drafts * CONTINUATIONS * math.ceil(max_new_tokens / CHUNK_TOKENS)
        decoded += drafts * CONTINUATIONS * max_new_tokens
    if responder or ("magpie" in ways and generator.can_open_turn and "response" in kind.parts):
        calls, decoded = calls + drafts, decoded + drafts * max_new_tokens
    if verifier and kind.claims:
        calls, decoded = calls + drafts * TRIES, decoded + drafts * TRIES * answer_tokens
    accepted = len(pursuits) * samples_per_feature
    accepted = accepted if max_samples is None else min(accepted, max_samples)
    for wanted in (calibration, accepted if has_control else 0):
        # Each gives up at so many times what it is to reach, and ends a batch that it has begun.
        unguided = parts * (MOST_DECODED * wanted + 2 * PROMPTS) if wanted and pursuits else 0
        calls, decoded = calls + unguided, decoded + unguided * max_new_tokens
    read = calls * _LONGER * math.ceil(once.prompt_tokens / max(1, once.calls))
    return Plan(calls, read, decoded, limits.dollars(read, decoded))
