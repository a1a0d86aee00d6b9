"""Drafts that run side by side ask in batches, in a fixed order, and end when they are done."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.together import Pending, run_together


async def added_up(*numbers: int) -> int:
    return sum([await Pending(number) for number in numbers])


def test_what_is_asked_at_the_same_time_is_asked_in_one_batch() -> None:
    batches: list[list[int]] = []

    def answer(questions: list[int]) -> list[int]:
        batches.append(questions)
        return [10 * question for question in questions]

    assert run_together([added_up(1, 2), added_up(3), added_up(4, 5, 6)], answer) == [30, 30, 150]
    assert batches == [[1, 3, 4], [2, 5], [6]]


def test_drafts_that_ask_nothing_end_at_once() -> None:
    assert run_together([added_up(), added_up()], lambda _: pytest.fail("nothing was asked")) == [0, 0]


def test_what_fails_ends_all_drafts() -> None:
    ended = []

    async def waiting() -> None:
        try:
            await Pending(1)
        finally:
            ended.append(True)

    def fail(_: list[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together([waiting(), waiting()], fail)
    assert ended == [True, True]
