"""What questions to a model would cost, said without asking them (`--dry-run`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fac_datasets.generation.base import Request, TextGenerator
    from fac_datasets.generation.journal import Journal, Limits


def say_plan(
    generator: TextGenerator | None,
    path: Path,
    limits: Limits,
    answer_tokens: int,
    requests: Callable[[TextGenerator, Journal], Sequence[Request]],
) -> None:
    """Say what requests would cost, without those that a journal holds.

    Args:
        generator: answers.
        path: of the journal, which need not be there.
        limits: with prices.
        answer_tokens: tokens of an answer.
        requests: makes them.

    Raises:
        OptionError: there is no generator.
    """
    from fac_datasets.errors import OptionError
    from fac_datasets.generation.journal import Journal
    from fac_datasets.interpretation.questions import TRIES, plan

    if generator is None:
        raise OptionError("there is nothing to plan without a model: give --model, --endpoint or --provider")
    journal = Journal(path, limits, read_only=True)
    found = plan(generator, journal, requests(generator, journal), answer_tokens=answer_tokens)
    journal.close()
    print(
        f"{generator.name}: {found}; answers that cannot be read are asked for again: with that, at most "
        f"{found.times(TRIES)}"
    )
