"""What a model learns from a dataset: tasks that are trained and measured, a file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fac_datasets.downstream.hidden_states import HiddenStates
    from fac_datasets.downstream.reward import reward_modelling
    from fac_datasets.downstream.toxicity import toxicity_detection
    from fac_datasets.downstream.trials import over_seeds

_HOME = {
    "HiddenStates": "hidden_states",
    "over_seeds": "trials",
    "reward_modelling": "reward",
    "toxicity_detection": "toxicity",
}
"""Module of each name, which is loaded on first use."""

__all__ = ["HiddenStates", "over_seeds", "reward_modelling", "toxicity_detection"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fac_datasets.downstream' has no attribute {name!r}")
    return getattr(import_module(f"fac_datasets.downstream.{_HOME[name]}"), name)
