"""What every kind of data does with what a model answers."""

from __future__ import annotations

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, PAIRS, QUESTIONS, TEXTS

SEEDS = {
    f"{kind}, {name}": seed
    for kind, seeds in (
        ("texts", TEXTS),
        ("labelled", LABELLED),
        ("instructions", INSTRUCTIONS),
        ("pairs", PAIRS),
        ("questions", QUESTIONS),
    )
    for name, seed in seeds.items()
}

PIECES = (
    *("Question:", "Matching answer:", "Other answer:", "Prompt:", "**Response:**", "System:", "Label:", "Text:"),
    *("Chosen response:", "Rejected response:", "User:", "Assistant:", "Choices:", "(A)", " (A) A plum", "(B) A fig"),
    *("Question: Which is blue?\n (A) A plum\n (B) A fig", "Prompt: Name a fruit.\nResponse: A pear."),
    *("A)", "2.", "What is it?", "```json", "{", "}", '"question": "x"', "<think>", "</think>", "\u2028", "\x85", "1"),
)


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
@settings(max_examples=100)
@given(
    pieces=st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(("", " ", "\n", "\n\n")))),
    finished=st.booleans(),
)
def test_no_answer_stops_a_run_however_broken_it_is(
    seed: datasets.Dataset, pieces: list[tuple[str, str]], finished: bool
) -> None:
    kind, answer = recognise(seed), "".join(piece + space for piece, space in pieces)
    assert isinstance(kind.read(answer, finished), Sample | Rejected)
    assert isinstance(kind.lacking(answer, finished), str)
