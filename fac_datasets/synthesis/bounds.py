"""What a synthesis and its control ask for at most, for a plan before anything is paid."""

from __future__ import annotations

import math

from fac_datasets.generation.journal import Limits, Plan
from fac_datasets.interpretation.questions import ANSWER_TOKENS, TRIES
from fac_datasets.synthesis.drafting import CHUNK_TOKENS, CONTINUATIONS
from fac_datasets.synthesis.unguided import MOST_DECODED, PROMPTS

_LONGER = 2
"""Prompts of later tries show a good and a bad sample beside what the first show, and so are at most so much longer."""


def most_asked(
    once: Plan,
    limits: Limits,
    *,
    max_attempts: int,
    max_new_tokens: int,
    most_accepted: int,
    calibration: int,
    is_guided: bool,
    is_answered: bool,
    is_checked: bool,
) -> Plan:
    """The most that a synthesis asks for, with the unguided control beside it.

    Args:
        once: the first draft of each target.
        limits: hold the prices.
        max_attempts: drafts of a target.
        max_new_tokens: tokens of a sample.
        most_accepted: samples.
        calibration: unguided samples that say what is fluent.
        is_guided: whether drafts may be decoded in chunks of which the SAE chooses.
        is_answered: whether responses may be asked for apart.
        is_checked: whether a verifier is asked about each draft.

    Example:
        >>> options = {"max_attempts": 8, "max_new_tokens": 64, "most_accepted": 0, "calibration": 0}
        >>> plan = most_asked(
        ...     Plan(2, 100, 128), Limits(), is_guided=False, is_answered=False, is_checked=False, **options
        ... )
        >>> plan.calls, plan.max_new_tokens
        (80, 5120)
    """
    if not once.calls:
        return once
    drafts = once.calls * max_attempts
    # Both give up at so many times what they are to reach, and end a batch that they have begun.
    control = MOST_DECODED * (calibration + most_accepted) + 2 * 2 * PROMPTS
    calls, decoded = drafts + control, (drafts + control) * max_new_tokens
    if is_guided:
        calls += drafts * CONTINUATIONS * math.ceil(max_new_tokens / CHUNK_TOKENS)
        decoded += drafts * CONTINUATIONS * max_new_tokens
    if is_answered:
        calls, decoded = calls + drafts, decoded + drafts * max_new_tokens
    if is_checked:
        calls, decoded = calls + drafts * TRIES, decoded + drafts * TRIES * ANSWER_TOKENS
    read = calls * _LONGER * math.ceil(once.prompt_tokens / once.calls)
    return Plan(calls, read, decoded, limits.dollars(read, decoded))
