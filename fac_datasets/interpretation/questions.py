"""Questions to a language model whose answers are one JSON object, read strictly."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, TypeVar

from fac_datasets.errors import GenerationError
from fac_datasets.generation.base import Completion, Request, TextGenerator
from fac_datasets.generation.journal import Journal, Plan

logger = logging.getLogger(__name__)

MAX_NEW_TOKENS = 256
"""Tokens of an answer."""

TRIES = 3
"""Of a question whose answer cannot be read."""

VERDICTS = ("yes", "probably", "maybe", "no")
"""Answers to whether something holds."""

UNPARSABLE = "unparsable"
"""Stands in place of a verdict where no answer could be read."""

REFUSED = "refused"
"""Stands in place of a verdict where the server will not answer, such as for what a span says."""

_RETRY_TEMPERATURE = 0.7
"""The first try takes the likeliest answer, which would only come again."""

_PROMPTS = Path(__file__).parent / "prompts"

T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    """A question with places to fill in, from a file: the system message, a line `---`, the user's message."""

    system: Template
    user: Template

    @classmethod
    def load(cls, name: str) -> Prompt:
        """The prompt of that name in this package."""
        system, user = (_PROMPTS / f"{name}.md").read_text(encoding="utf-8").split("\n---\n")
        return cls(Template(system.strip()), Template(user.strip()))

    def request(self, **values: str) -> Request:
        """The question with these values in its places."""
        messages = (("system", self.system.substitute(values)), ("user", self.user.substitute(values)))
        return Request(messages, seed=0)


class Unanswered(NamedTuple):
    """What stands in place of an answer that there is none to a question."""

    problem: str
    """`"unparsable"` or `"refused"`."""
    reason: str | None = None
    """What the server says about its refusal."""


def ask(
    generator: TextGenerator,
    journal: Journal,
    requests: Sequence[Request],
    read: Callable[[dict[str, Any]], T],
    *,
    what: str,
    answers_it: Callable[[T, int], bool] = lambda _found, _place: True,
) -> list[T | Unanswered]:
    """What is read from each answer, or why there is none: it could not be read, nor those to the same question asked
    again, or the server refused the question, which is not asked again.

    Args:
        generator: answers.
        journal: keeps the answers.
        requests: the questions.
        read: what an answer's JSON object says; raises ValueError where it is not as it should be.
        what: is asked, for the progress bar.
        answers_it: whether what was read answers the question at a place; asked again where it does not.

    Raises:
        GenerationError: the generator gives no answers; those until then are in the journal.
    """
    import datasets
    from tqdm.auto import tqdm

    found: list[T | Unanswered] = [Unanswered(UNPARSABLE)] * len(requests)
    waiting = list(range(len(requests)))
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=len(requests), unit="answer", desc=what, disable=quiet) as bar:
        for attempt in range(TRIES):
            unread = []
            for begin in range(0, len(waiting), generator.batch_size):
                places = waiting[begin : begin + generator.batch_size]
                answers = journal.generate(
                    generator,
                    [replace(requests[place], seed=attempt) for place in places],
                    max_new_tokens=MAX_NEW_TOKENS,
                    temperature=_temperature(attempt),
                )
                for place, (_, completion) in zip(places, answers, strict=True):
                    value = _read(completion, read)
                    if value is None or not (isinstance(value, Unanswered) or answers_it(value, place)):
                        unread.append(place)
                    else:
                        found[place] = value
                        bar.update()
            waiting = unread
    refused = sum(isinstance(value, Unanswered) and value.problem == REFUSED for value in found)
    if refused:
        logger.warning("%s: %d of %d questions are refused by %s", what, refused, len(requests), generator.name)
    if waiting:
        logger.warning(
            "%s: %d of %d questions have no answer that could be read, after %d tries",
            what, len(waiting), len(requests), TRIES,
        )  # fmt: skip
    return found


def known(
    generator: TextGenerator, journal: Journal, request: Request, read: Callable[[dict[str, Any]], T]
) -> T | Unanswered | None:
    """What `ask` would give for a question without asking; None where it would have to ask."""
    for attempt in range(TRIES):
        completion = journal.find(
            generator,
            replace(request, seed=attempt),
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=_temperature(attempt),
        )
        if completion is None:
            return None
        value = _read(completion, read)
        if value is not None:
            return value
    return Unanswered(UNPARSABLE)


def plan(generator: TextGenerator, journal: Journal, requests: Sequence[Request]) -> Plan:
    """What `ask` would cost if every answer could be read at once."""
    return journal.plan(generator, requests, max_new_tokens=MAX_NEW_TOKENS, temperature=_temperature(0))


def _temperature(attempt: int) -> float:
    return _RETRY_TEMPERATURE if attempt else 0.0


def _read(completion: Completion, read: Callable[[dict[str, Any]], T]) -> T | Unanswered | None:
    """What a completion says; None where it cannot be read."""
    if completion.refusal:
        return Unanswered(REFUSED, " ".join(completion.refusal.split()))
    try:
        return read(json_object(completion.text))
    except ValueError:
        return None


@contextmanager
def opened(journal: str | Path | Journal | None) -> Iterator[Journal]:
    """A journal, or the one at a path, which is closed at the end; without a path, one that is lost at the end.

    Raises:
        GenerationError: the generator gives no answers; it says so where those until then are lost.
    """
    if isinstance(journal, Journal):
        yield journal
        return
    book = Journal(journal)
    try:
        yield book
    except GenerationError as error:
        if journal is None and book.completions:
            raise GenerationError(
                f"{error}. {len(book.completions):,} answers are lost, since no journal kept them: pass journal=PATH"
            ) from error
        raise
    finally:
        book.close()


def json_object(answer: str) -> dict[str, Any]:
    """The one JSON object that an answer consists of, in a code fence or not, after reasoning between `<think>` tags.

    Raises:
        ValueError: the answer is something else.
    """
    text = re.sub(r"\A\s*<think>.*?</think>", "", answer, flags=re.DOTALL).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, flags=re.DOTALL)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except RecursionError:
        raise ValueError("the answer is nested without end") from None
    # Half a character can stand in JSON, but in no table.
    json.dumps(found, ensure_ascii=False).encode()
    if not isinstance(found, dict):
        raise ValueError(f"the answer is {type(found).__name__}, not an object")
    return found


def read_verdict(answer: dict[str, Any]) -> tuple[str, str]:
    """Verdict and reason of an answer.

    Raises:
        ValueError: it has other keys, or a verdict that is none.
    """
    verdict, reason = values_of(answer, "answer", "reason")
    if not isinstance(verdict, str) or verdict.strip().lower() not in VERDICTS or not isinstance(reason, str):
        raise ValueError(f"{verdict!r} is none of {VERDICTS}")
    return verdict.strip().lower(), reason.strip()


def values_of(answer: dict[str, Any], *keys: str) -> list[Any]:
    """The values of an answer that has these keys and no others.

    Raises:
        ValueError: it has others.
    """
    if set(answer) != set(keys):
        raise ValueError(f"the answer has the keys {sorted(answer)}, not {sorted(keys)}")
    return [answer[key] for key in keys]
