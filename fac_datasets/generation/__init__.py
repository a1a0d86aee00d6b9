"""Text generation behind one interface."""

from fac_datasets.generation.answers import Answer, answer_of, plain_answer
from fac_datasets.generation.base import Completion, Outcome, Request, Steering, TextGenerator
from fac_datasets.generation.journal import Journal, Limits, Plan, Spent

__all__ = [
    "Answer",
    "Completion",
    "Journal",
    "Limits",
    "Outcome",
    "Plan",
    "Request",
    "Spent",
    "Steering",
    "TextGenerator",
    "answer_of",
    "plain_answer",
]
