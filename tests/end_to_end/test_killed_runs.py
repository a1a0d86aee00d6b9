"""A run that is killed at random moments asks nothing twice and ends as one that was never stopped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets.pipeline import Settings, run
from tests.killing import is_killed
from tests.tiny import TEXTS

pytestmark = pytest.mark.slow

FEW, MANY = 3, 20
"""Kills of a run; so many that a make target of its own does it."""

SEEDS: dict[str, tuple[dict[str, list[Any]], dict[str, Any]]] = {
    "text": ({"text": TEXTS[:8]}, {"max_features": 5, "max_new_tokens": 24}),
    # The tiny model cannot write sections; what it says as a user and as an assistant needs none.
    "instruction": (
        {"instruction": TEXTS[:8], "output": TEXTS[:8][::-1]},
        {"max_features": 3, "max_new_tokens": 64, "max_attempts": 4, "methods": "magpie"},
    ),
}


def journals(out: Path) -> dict[str, list[bytes]]:
    """The whole lines of each journal."""
    return {path.name: path.read_bytes().split(b"\n")[:-1] for path in (out / "journal").glob("*.jsonl")}


def size(out: Path) -> int:
    return sum(path.stat().st_size for path in (out / "journal").glob("*.jsonl"))


def calls(out: Path) -> Counter[str]:
    """How often each request was answered."""
    lines = (json.loads(line) for found in journals(out).values() for line in found)
    return Counter(line["sample"] for line in lines if "sample" in line)


def results(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and path.parent.name != "journal")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def start(seed: datasets.Dataset, anchor: datasets.Dataset, out: Path, settings: Settings) -> None:
    run(seed, anchor, out, settings, say=lambda _line: None)


@pytest.mark.parametrize("n_kills", [FEW, pytest.param(MANY, marks=pytest.mark.kills)])
@pytest.mark.parametrize("kind", SEEDS)
def test_killed_at_random_moments_a_run_repeats_no_call_and_ends_with_the_same_bytes(
    kind: str, n_kills: int, tiny_backbone: str, tiny_sae: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    columns, options = SEEDS[kind]
    rows = datasets.Dataset.from_dict(columns)
    settings = Settings(tiny_backbone, tiny_sae, threshold="q75", temperature=1.0, license="mit", kind=kind)
    job = (rows.select(range(2)), rows.select(range(2, 8)))
    settings = replace(settings, **options)
    start(*job, tmp_path / "whole", settings)
    assert len(datasets.Dataset.from_parquet(str(tmp_path / "whole/provenance/*.parquet")))
    out, all_of_it = tmp_path / "killed", size(tmp_path / "whole")
    kills, kept = 0, dict[str, list[bytes]]()
    # While rows are extracted, while samples are made, and while results are written.
    for share in np.sort(rng.uniform(-0.1, 1.1, n_kills)).tolist():

        def begun(share: float = share) -> bool:
            return share < 0 or (size(out) >= share * all_of_it if share < 1 else (out / "data").exists())

        kills += is_killed(
            start, *job, out, settings, when=begun, after=rng.uniform(0, 0.02 if 0 <= share < 1 else 0.3)
        )
        now = journals(out)
        assert all(now[name][: len(lines)] == lines for name, lines in kept.items())
        kept = now
    start(*job, out, settings)
    assert kills == n_kills
    assert set(calls(out).values()) == {1}
    assert calls(out) == calls(tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")
