"""Text generation behind one interface."""

from fac_datasets.generation.base import Completion, Request, Steering, TextGenerator
from fac_datasets.generation.journal import Journal, Limits, Plan

__all__ = ["Completion", "Journal", "Limits", "Plan", "Request", "Steering", "TextGenerator"]
