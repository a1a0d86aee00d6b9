"""Text generation behind one interface."""

from fac_datasets.generation.base import Completion, Request, Steering, TextGenerator

__all__ = ["Completion", "Request", "Steering", "TextGenerator"]
