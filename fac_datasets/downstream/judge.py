"""A text generator as judge of pairs of answers: each pair in both orders, and whether the judge counts at all."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.downstream.reading import drawn_places, require_columns
from fac_datasets.downstream.win_rate import WinRate, win_rates
from fac_datasets.errors import DatasetError
from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.questions import REFUSED, Prompt, Unanswered, ask, opened, value_of

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)

ANSWER_TOKENS = 32
"""Tokens of a judge's answer; a model that reasons before it answers needs thousands."""

SIGNIFICANCE = 0.05
"""A judge beats chance where a coin would do as well less often than this."""

NEITHER, NOT_ASKED = "neither A nor B", "not asked"
"""Why an order has no answer, beside `REFUSED`: the judge named no side in any try, or a limit was reached."""

BETTER = {
    "type": "object",
    "properties": {"better": {"type": "string", "enum": ["A", "B"]}},
    "required": ["better"],
    "additionalProperties": False,
}
"""JSON schema of a judge's answer."""


class Pair(NamedTuple):
    """Two answers to one instruction."""

    instruction: str
    baseline: str
    """The answer that a model's is held against."""
    model: str
    """The answer of the model."""


@dataclass(frozen=True)
class JudgedPairs:
    """What a judge said of pairs that it saw in both orders."""

    preferences: tuple[float, ...]
    """For the model, one a pair: 1 or 0 where both orders agree, 0.5 where they do not, NaN where one has no answer."""
    without_answer: Mapping[str, int]
    """Questions without an answer, two of which make a pair, by the reason: `NEITHER`, `REFUSED` or `NOT_ASKED`."""

    @property
    def judged(self) -> int:
        """Pairs with an answer in both orders."""
        return sum(not math.isnan(each) for each in self.preferences)

    @property
    def consistent(self) -> int:
        """Pairs of which both orders prefer the same answer."""
        return sum(each in (0, 1) for each in self.preferences)

    @property
    def for_model(self) -> int:
        """Pairs of which both orders prefer the model's."""
        return sum(each == 1 for each in self.preferences)

    def to_dict(self) -> dict[str, Any]:
        """The counts."""
        return {
            "pairs": len(self.preferences),
            "judged": self.judged,
            "consistent": self.consistent,
            "for_model": self.for_model,
            "without_answer": dict(self.without_answer),
        }


@dataclass(frozen=True)
class JudgeCheck:
    """Whether a judge tells a strong model's answers from a weak one's better than a coin."""

    known: JudgedPairs
    """Of pairs in which the model is the strong one."""

    @property
    def consistency_p(self) -> float:
        """Chance that a coin, thrown for every order, would be as consistent."""
        return coin_p(self.known.consistent, self.known.judged)

    @property
    def agreement_p(self) -> float:
        """Chance that a coin, thrown for every consistent pair, would prefer the strong answer as often."""
        return coin_p(self.known.for_model, self.known.consistent)

    @property
    def why_not(self) -> str:
        """Why what the judge says is uninformative; empty where it counts."""
        judged, consistent, agreeing = self.known.judged, self.known.consistent, self.known.for_model
        if not len(self.known.preferences):
            return "no known pairs were given to check the judge with: give known= (--known)"
        if self.consistency_p >= SIGNIFICANCE:
            return (
                f"both orders agree in {consistent} of {judged} known pairs, which a coin does too (p = "
                f"{self.consistency_p:.3f}, binomial test at {SIGNIFICANCE:.0%})"
            )
        if self.agreement_p >= SIGNIFICANCE:
            return (
                f"the strong model's answer is preferred in {agreeing} of {consistent} known pairs that are judged "
                f"alike in both orders, which a coin does too (p = {self.agreement_p:.3f}, binomial test at "
                f"{SIGNIFICANCE:.0%})"
            )
        return ""

    @property
    def counts(self) -> bool:
        """Whether both beat chance."""
        return not self.why_not

    def to_dict(self) -> dict[str, Any]:
        """The counts, the tests and the verdict."""
        return {
            **self.known.to_dict(),
            "consistency": _share(self.known.consistent, self.known.judged),
            "consistency_p": self.consistency_p,
            "agreement": _share(self.known.for_model, self.known.consistent),
            "agreement_p": self.agreement_p,
            "significance": SIGNIFICANCE,
            "verdict": "counts" if self.counts else "uninformative",
            "why": self.why_not,
        }


@dataclass(frozen=True)
class JudgedWinRate:
    """The win rate that a judge gives, and whether the judge counts."""

    judge: str
    """Name of the generator."""
    rate: WinRate | None
    """None where no pair was judged."""
    pairs: JudgedPairs
    check: JudgeCheck

    @property
    def why_not(self) -> str:
        """Why the rate is uninformative; empty where it is a measurement."""
        return "no pair has an answer in both orders" if self.rate is None else self.check.why_not

    def to_dict(self) -> dict[str, Any]:
        """All of it; `verdict` is `uninformative` where the judge does not count."""
        return {
            "judge": self.judge,
            "verdict": "uninformative" if self.why_not else "counts",
            "why": self.why_not,
            "win_rate": self.rate and self.rate.to_dict(),
            "pairs": {**self.pairs.to_dict(), "consistency": _share(self.pairs.consistent, self.pairs.judged)},
            "known_pairs": self.check.to_dict(),
        }


def judge_requests(pairs: Sequence[Pair]) -> list[Request]:
    """What `judge_pairs` asks first: each pair in both orders.

    Example:
        >>> len(judge_requests([Pair("Name a fruit.", "No.", "A pear.")]))
        2
    """
    prompt = _prompt()
    return [prompt.request(BETTER, **places) for pair in pairs for places in _both_orders(pair)]


def judge_pairs(
    pairs: Sequence[Pair],
    generator: TextGenerator,
    journal: str | Path | Journal | None = None,
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> JudgedPairs:
    """Which answer of each pair a generator prefers, asked in both orders, so that liking the first one helps nobody.

    Args:
        pairs: to judge.
        generator: the judge.
        journal: keeps the answers, so that none is asked for twice, within its limits; a path or a Journal.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.

    Raises:
        GenerationError: the judge cannot be reached or gives no answers; those until then are in the journal.
        LimitReached: a limit of the journal is reached, and it does not take part (`takes_part`).
        OptionError: none of the first answers came to its end within `answer_tokens`.

    Example:
        >>> judged = judge_pairs([Pair("Name a fruit.", "No.", "A pear.")], generator)
        >>> judged.judged + sum(judged.without_answer.values()) > 0
        True
    """
    with opened(journal) as book:
        found = ask(generator, book, judge_requests(pairs), _read, what="judge pairs", answer_tokens=answer_tokens)
    # The model's answer is B in the first order of each pair, and A in the second.
    sides = [
        math.nan if isinstance(answer, Unanswered) else float(answer == "BA"[place % 2])
        for place, answer in enumerate(found)
    ]
    reasons = Counter(_why(answer) for answer in found if isinstance(answer, Unanswered))
    if reasons[NEITHER]:
        logger.warning(
            "%d of %d questions to %s have an answer that is neither A nor B",
            reasons[NEITHER], len(found), generator.name,
        )  # fmt: skip
    means = np.array(sides).reshape(-1, 2).mean(axis=1)
    return JudgedPairs(tuple(means.tolist()), dict(reasons))


def judged_win_rate(
    pairs: Sequence[Pair],
    known: Sequence[Pair],
    generator: TextGenerator,
    journal: str | Path | Journal | None = None,
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> JudgedWinRate:
    """The win rate that a judge gives, which is uninformative unless the judge beats chance on known pairs.

    On known pairs it must be consistent, which of both orders a coin is half the time, and prefer the strong answer,
    each by a one-sided binomial test at 5 %.

    Args:
        pairs: to judge.
        known: pairs in which the model is known to be the better one, such as a strong model's answers against a weak
            one's; without any the rate is uninformative.
        generator: the judge.
        journal: keeps the answers; see `judge_pairs`.
        answer_tokens: tokens of an answer.

    Raises:
        DatasetError: there are no pairs.
        GenerationError: see `judge_pairs`.
        OptionError: see `judge_pairs`.

    Example:
        >>> pair = Pair("Name a fruit.", "No.", "A pear.")
        >>> judged_win_rate([pair], [pair], generator).to_dict()["verdict"]
        'uninformative'
    """
    if not pairs:
        raise DatasetError("there are no pairs to judge; give at least one answer of a model and of a baseline")
    with opened(journal) as book:
        # First, for where a limit is reached, rates without a check are worth nothing.
        check = JudgeCheck(judge_pairs(known, generator, book, answer_tokens=answer_tokens))
        judged = judge_pairs(pairs, generator, book, answer_tokens=answer_tokens)
    rate = None
    if judged.judged:
        rate = win_rates(
            judged.preferences, [len(pair.model) for pair in pairs], [len(pair.baseline) for pair in pairs]
        )
    found = JudgedWinRate(generator.name, rate, judged, check)
    if found.why_not:
        logger.warning("the win rate by %s is uninformative: %s", generator.name, found.why_not)
    return found


def known_pairs(
    dataset: datasets.Dataset, strong: str, weak: str, *, instruction: str = "instruction", most: int | None = None
) -> list[Pair]:
    """Pairs of a strong model's answers against a weak one's, by which a judge is checked.

    Rows that lack a text, or whose answers are equal, are left out.

    Args:
        dataset: with an instruction and both answers in a row.
        strong: column of the strong model's answers.
        weak: column of the weak one's.
        instruction: column of the instructions.
        most: pairs at most, drawn at random, always the same.

    Raises:
        ColumnError: a column is missing.
        DatasetError: no row is such a pair.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"instruction": ["Name a fruit."], "good": ["A pear."], "bad": ["No."]})
        >>> known_pairs(rows, "good", "bad")
        [Pair(instruction='Name a fruit.', baseline='No.', model='A pear.')]
    """
    require_columns(
        dataset,
        instruction,
        strong,
        weak,
        of="the set of known pairs",
        otherwise="name those of the answers with strong= (--strong) and weak= (--weak); the instructions "
        "need this name",
    )
    pairs = [Pair(*texts) for texts in zip(*(dataset[name] for name in (instruction, weak, strong)), strict=True)]
    usable = [
        pair
        for pair in pairs
        if all(isinstance(text, str) and text.strip() for text in pair) and pair.baseline != pair.model
    ]
    if not usable:
        raise DatasetError(
            f"none of {len(dataset)} rows has texts in {instruction!r}, {strong!r} and {weak!r} with two different "
            f"answers; a judge is checked by a strong model's answers against a weak one's"
        )
    if len(usable) < len(pairs):
        logger.warning(
            "%d of %d known pairs lack a text, or their answers are equal", len(pairs) - len(usable), len(pairs)
        )
    return [usable[place] for place in drawn_places(len(usable), most)]


def coin_p(heads: int, throws: int) -> float:
    """Chance that a fair coin shows heads at least so often: the one-sided exact binomial test.

    Example:
        >>> coin_p(5, 5), coin_p(0, 5)
        (0.03125, 1.0)
    """
    ways = sum(math.comb(throws, each) for each in range(heads, throws + 1))
    return float(ways / 2**throws)


def _prompt() -> Prompt:
    text = Path(__file__).with_name("judge_pair.md").read_text(encoding="utf-8")
    system, user = text.split("\n---\n")
    return Prompt(Template(system.strip()), Template(user.strip()))


def _both_orders(pair: Pair) -> tuple[dict[str, str], dict[str, str]]:
    """The places of a pair's two questions, the baseline as A first."""
    instruction, baseline, model = (json.dumps(text, ensure_ascii=False) for text in pair)
    return (
        {"instruction": instruction, "a": baseline, "b": model},
        {"instruction": instruction, "a": model, "b": baseline},
    )


def _read(answer: dict[str, Any]) -> str:
    """The side that an answer names.

    Raises:
        ValueError: it names none.
    """
    side = value_of(answer, "better")
    bare = side.strip(" .()").upper().removeprefix("ANSWER ") if isinstance(side, str) else ""
    if bare not in ("A", "B"):
        raise ValueError(f"{side!r} is neither A nor B")
    return bare


def _why(answer: Unanswered) -> str:
    if answer.problem is None:
        return NOT_ASKED
    return REFUSED if answer.problem == REFUSED else NEITHER


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
