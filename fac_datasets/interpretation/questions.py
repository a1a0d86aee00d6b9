"""Questions to a language model whose answers hold one JSON object."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, TypeVar

from fac_datasets.errors import GenerationError, OptionError
from fac_datasets.generation.answers import answer_of, without_reasoning
from fac_datasets.generation.base import Completion, Outcome, Request, TextGenerator, counts_in_words
from fac_datasets.generation.journal import Journal, Plan

logger = logging.getLogger(__name__)

ANSWER_TOKENS = 256
"""Tokens of an answer; models that reason before they answer need many more."""

TRIES = 3
"""Of a question whose answer cannot be read."""

VERDICTS = ("yes", "probably", "maybe", "no")
"""Answers to whether something holds."""

UNPARSABLE = "unparsable"
"""Stands in place of a verdict where no answer could be read."""

REFUSED = "refused"
"""Stands in place of a verdict where server or model will not answer, such as for what a span says."""

VERDICT = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "answer": {"type": "string", "enum": list(VERDICTS)}},
    "required": ["reason", "answer"],
    "additionalProperties": False,
}
"""JSON schema of an answer with a verdict."""

_TOO_SHORT = (Outcome.EMPTY, Outcome.CUT, Outcome.REASONING)
"""Outcomes of an answer that more tokens may bring."""

_MORE_TOKENS = "a model that reasons before it answers needs more tokens: raise answer_tokens (--answer-tokens)"

_WILL_NOT = (Outcome.REFUSED, Outcome.FILTERED, Outcome.DECLINED)
"""Outcomes of a question that is not asked again."""

_LOOK = 8
"""First answers that are looked at before others are paid for."""

_FEW = 5
"""As many first answers, none of which came to its end, are no accident."""

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

    def request(self, schema: Mapping[str, Any], **values: str) -> Request:
        """The question with these values in its places.

        Args:
            schema: of the answer.
            **values: by place.
        """
        messages = (("system", self.system.substitute(values)), ("user", self.user.substitute(values)))
        return Request(messages, seed=0, schema=schema)


class Unanswered(NamedTuple):
    """What stands in place of an answer that there is none to a question."""

    problem: str | None
    """`"unparsable"` or `"refused"`; None where a limit was reached before it was asked."""
    reason: str | None = None
    """What server or model say about their refusal."""


def ask(
    generator: TextGenerator,
    journal: Journal,
    requests: Sequence[Request],
    read: Callable[[dict[str, Any]], T],
    *,
    what: str,
    answers_it: Callable[[T, int], bool] = lambda _found, _place: True,
    answer_tokens: int = ANSWER_TOKENS,
) -> list[T | Unanswered]:
    """What is read from each answer, or why there is none: it could not be read, nor those to the same question asked
    again; the question was refused, which is not asked again; or a limit was reached before, where the journal goes on
    without an answer (`takes_part`).

    Args:
        generator: answers.
        journal: keeps the answers.
        requests: the questions.
        read: what an answer's JSON object says; raises ValueError where it is not as it should be.
        what: is asked, for the progress bar.
        answers_it: whether what was read answers the question at a place; asked again where it does not.
        answer_tokens: tokens of an answer.

    Raises:
        OptionError: `answer_tokens` is below 1, or none of the first answers came to its end within them.
        GenerationError: the generator gives no answers; those until then are in the journal.
    """
    import datasets
    from tqdm.auto import tqdm

    if answer_tokens < 1:
        raise OptionError(f"answer_tokens={answer_tokens} must be at least 1")
    found: list[T | Unanswered] = [Unanswered(UNPARSABLE)] * len(requests)
    outcomes: Counter[Outcome] = Counter()
    answered = 0
    waiting = list(range(len(requests)))
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=len(requests), unit="answer", desc=what, disable=quiet) as bar:
        for attempt in range(TRIES):
            unread = []
            for places in _batches(waiting, generator.batch_size, looks=not attempt):
                answers = journal.generate(
                    generator,
                    [replace(requests[place], seed=attempt) for place in places],
                    max_new_tokens=answer_tokens,
                    temperature=_temperature(attempt),
                )
                for place, (_, completion) in zip(places, answers, strict=True):
                    value = _read(completion, read)
                    if value is None or not (isinstance(value, Unanswered) or answers_it(value, place)):
                        unread.append(place)
                        outcomes[answer_of(completion).problem or completion.outcome] += 1
                    else:
                        found[place] = value
                        is_answer = completion.outcome is not Outcome.NOT_ASKED
                        answered += is_answer
                        bar.update(is_answer)
                if not answered and len(unread) >= _FEW and _all_too_short(outcomes):
                    raise OptionError(
                        f"{what}: none of the first {len(unread)} answers of {generator.name} came to its end within "
                        f"answer_tokens={answer_tokens}: {counts_in_words(outcomes)}; {_MORE_TOKENS}, or take "
                        f"another model"
                    )
            waiting = unread
    refused = sum(isinstance(value, Unanswered) and value.problem == REFUSED for value in found)
    if refused:
        logger.warning("%s: %d of %d questions are refused by %s", what, refused, len(requests), generator.name)
    if waiting:
        logger.warning(
            "%s: %d of %d questions have no answer that could be read, after %d tries; of all answers that could not, "
            "%s%s", what, len(waiting), len(requests), TRIES, counts_in_words(outcomes),
            f"; {_MORE_TOKENS}" if _all_too_short(outcomes) else "",
        )  # fmt: skip
    return found


def _batches(places: Sequence[int], size: int, *, looks: bool) -> Iterator[Sequence[int]]:
    """Places in batches, of which the first may be a few to look at."""
    begin = min(_LOOK, size, len(places)) if looks else 0
    if begin:
        yield places[:begin]
    for start in range(begin, len(places), size):
        yield places[start : start + size]


def _all_too_short(outcomes: Counter[Outcome]) -> bool:
    """Whether no answer came to its end."""
    return all(outcome in _TOO_SHORT for outcome in outcomes)


def known(
    generator: TextGenerator,
    journal: Journal,
    request: Request,
    read: Callable[[dict[str, Any]], T],
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> T | Unanswered | None:
    """What `ask` would give for a question without asking; None where it would have to ask."""
    for attempt in range(TRIES):
        completion = journal.find(
            generator,
            replace(request, seed=attempt),
            max_new_tokens=answer_tokens,
            temperature=_temperature(attempt),
        )
        if completion is None:
            return None
        value = _read(completion, read)
        if value is not None:
            return value
    return Unanswered(UNPARSABLE)


def plan(
    generator: TextGenerator, journal: Journal, requests: Sequence[Request], *, answer_tokens: int = ANSWER_TOKENS
) -> Plan:
    """What `ask` would cost if every answer could be read at once."""
    return journal.plan(generator, requests, max_new_tokens=answer_tokens, temperature=_temperature(0))


def _temperature(attempt: int) -> float:
    return _RETRY_TEMPERATURE if attempt else 0.0


def _read(completion: Completion, read: Callable[[dict[str, Any]], T]) -> T | Unanswered | None:
    """What a completion says; None where it cannot be read."""
    if completion.outcome is Outcome.NOT_ASKED:
        return Unanswered(None)
    if completion.outcome in _WILL_NOT:
        return Unanswered(REFUSED, " ".join(completion.refusal.split()))
    try:
        return read_answer(completion.text, read)
    except ValueError:
        declined = answer_of(completion).problem is Outcome.DECLINED
        return Unanswered(REFUSED, " ".join(completion.text.split())) if declined else None


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


def read_answer(answer: str, read: Callable[[dict[str, Any]], T]) -> T:
    """What the JSON object in an answer says, with whatever stands around it: reasoning, a code fence, prose.

    Args:
        answer: of a model.
        read: what an object says; raises ValueError where it is not as it should be.

    Raises:
        ValueError: there is none that can be read, or there are several that say different things.

    Example:
        >>> read_answer('Sure! {"answer": "Yes."} I hope this helps.', read_verdict)
        ('yes', None)
    """
    # An answer that begins with its object may speak of the end of reasoning within it.
    text = answer if answer.lstrip().startswith(("{", "`")) else without_reasoning(answer)
    found: list[T] = []
    for candidate in _objects(text):
        with suppress(ValueError):
            value = read(candidate)
            if value not in found:
                found.append(value)
    if len(found) != 1:
        raise ValueError(f"the answer holds {len(found)} different objects that can be read")
    return found[0]


_OBJECT = re.compile(r"(?<![\w,;])(?<![\w,;] )\{")
"""Where an answer's object begins. One that goes on with a sentence is spoken of, as by a judge that tells what an
excerpt says."""


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text that stand by themselves, and not within another one."""
    decoder, begun = json.JSONDecoder(), _OBJECT.search(text)
    while begun is not None:
        end = begun.end()
        try:
            found, end = decoder.raw_decode(text, begun.start())
            # Half a character can stand in JSON, but in no table.
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            found = None
        if found is not None:
            yield found
        begun = _OBJECT.search(text, end)


def read_verdict(answer: dict[str, Any]) -> tuple[str, str | None]:
    """Verdict and reason of an answer; None where it gives none.

    Raises:
        ValueError: it has no verdict, or one that is none.
    """
    verdict = value_of(answer, "answer")
    if not isinstance(verdict, str) or verdict.strip(" .!").lower() not in VERDICTS:
        raise ValueError(f"{verdict!r} is none of {VERDICTS}")
    reason = answer.get("reason")
    return verdict.strip(" .!").lower(), reason.strip() if isinstance(reason, str) else None


def value_of(answer: dict[str, Any], key: str) -> Any:
    """The value that an answer has under a key, whatever else it has.

    Raises:
        ValueError: it has none.
    """
    if key not in answer:
        raise ValueError(f"the answer has the keys {sorted(answer)}, but no {key}")
    return answer[key]
