"""What a model learns from a dataset: tasks that are trained and measured, a file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fac_datasets.downstream.ab_questions import read_questions, split_by_claim
    from fac_datasets.downstream.hidden_states import HiddenStates
    from fac_datasets.downstream.instructions import instruction_following
    from fac_datasets.downstream.judge import JudgedWinRate, Pair, judge_pairs, judged_win_rate, known_pairs
    from fac_datasets.downstream.reward import reward_modelling
    from fac_datasets.downstream.steering import (
        SteeredModel,
        behaviour_steering,
        robust_accuracy,
        steering_control_rate,
    )
    from fac_datasets.downstream.toxicity import toxicity_detection
    from fac_datasets.downstream.trials import over_seeds
    from fac_datasets.downstream.win_rate import WinRate, alpaca_preferences, win_rates

_HOME = {
    "HiddenStates": "hidden_states",
    "JudgedWinRate": "judge",
    "Pair": "judge",
    "SteeredModel": "steering",
    "WinRate": "win_rate",
    "alpaca_preferences": "win_rate",
    "behaviour_steering": "steering",
    "instruction_following": "instructions",
    "judge_pairs": "judge",
    "judged_win_rate": "judge",
    "known_pairs": "judge",
    "over_seeds": "trials",
    "read_questions": "ab_questions",
    "reward_modelling": "reward",
    "robust_accuracy": "steering",
    "split_by_claim": "ab_questions",
    "steering_control_rate": "steering",
    "toxicity_detection": "toxicity",
    "win_rates": "win_rate",
}
"""Module of each name, which is loaded on first use."""

__all__ = [
    "HiddenStates",
    "JudgedWinRate",
    "Pair",
    "SteeredModel",
    "WinRate",
    "alpaca_preferences",
    "behaviour_steering",
    "instruction_following",
    "judge_pairs",
    "judged_win_rate",
    "known_pairs",
    "over_seeds",
    "read_questions",
    "reward_modelling",
    "robust_accuracy",
    "split_by_claim",
    "steering_control_rate",
    "toxicity_detection",
    "win_rates",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fac_datasets.downstream' has no attribute {name!r}")
    return getattr(import_module(f"fac_datasets.downstream.{_HOME[name]}"), name)
