"""Rows that a tiny random model can tell apart, for the tasks."""

from __future__ import annotations

from datasets import Dataset

KIND = ["You are kind", "I like this book", "The river is quiet", "Two cups of coffee please"]
RUDE = ["YOU FOOL!!!", "GO AWAY!!!", "SHUT UP!!!", "NO NO NO!!!"]


def labelled(n: int = 40) -> Dataset:
    """Texts of which the shouted ones have the label 1."""
    texts = [f"{(KIND, RUDE)[i % 2][i // 2 % 4]} {i}" for i in range(n)]
    return Dataset.from_dict({"text": texts, "label": [i % 2 for i in range(n)]})


def pairs(n: int = 48) -> Dataset:
    """Pairs of which the shouted side is the worse, with RewardBench's columns."""
    return Dataset.from_dict(
        {
            "prompt": [f"Say something about {i}." for i in range(n)],
            "chosen": [KIND[i % 4] for i in range(n)],
            "rejected": [RUDE[i % 4] for i in range(n)],
            "subset": ["chat" if i % 3 else "safety" for i in range(n)],
        }
    )
