"""Explainers, which find names for features: a file each."""

from __future__ import annotations

from fac_datasets.files.variants import subclasses_in
from fac_datasets.interpretation.explainers.base import Explainer

EXPLAINERS: dict[str, type[Explainer]] = {
    kind.__module__.rpartition(".")[2]: kind for kind in subclasses_in(__name__, Explainer)
}
"""Every explainer by the name of its file."""
