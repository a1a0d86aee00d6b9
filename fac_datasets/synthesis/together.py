"""Runs many drafts side by side, so that what they ask for at the same time is asked for in one batch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class Pending(Generic[Question, Answer]):
    """A question that a draft waits for; `answer = await Pending(question)`."""

    def __init__(self, question: Question) -> None:
        self.question = question

    def __await__(self) -> Generator[Pending[Question, Answer], Answer, Answer]:
        return (yield self)


def run_together(
    drafts: Sequence[Coroutine[Pending[Any, Any], Any, Result]], answer: Callable[[list[Any]], Sequence[Any]]
) -> list[Result]:
    """Run coroutines until all have ended.

    In each turn every one that is still running has asked one question; all questions of the turn are answered at
    once, in the order of the drafts, so that the same drafts always ask the same batches.

    Args:
        drafts: coroutines that wait for `Pending` only.
        answer: gives the answers to a list of questions, in their order.

    Returns:
        What each draft returned, in their order.

    Example:
        >>> async def twice(number: int) -> int:
        ...     return await Pending(number) + await Pending(number)
        >>> run_together([twice(1), twice(2)], lambda questions: [10 * question for question in questions])
        [20, 40]
    """
    results: dict[int, Result] = {}
    sent: dict[int, Any] = dict.fromkeys(range(len(drafts)))
    try:
        while sent:
            asked: dict[int, Any] = {}
            for place, value in sent.items():
                try:
                    asked[place] = drafts[place].send(value).question
                except StopIteration as end:
                    results[place] = end.value
            sent = dict(zip(asked, answer(list(asked.values())), strict=True)) if asked else {}
    finally:
        # Ctrl-C and a limit leave drafts in the middle.
        for draft in drafts:
            draft.close()
    return [results[place] for place in range(len(drafts))]
