"""Telling whether training text repeats evaluation data, by hashes that reveal neither.

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.overlap

writes `fingerprints/evaluation.npy`. A text is hashed in runs of 8 words; of every 12 neighbouring hashes the smallest
is kept (winnowing: Schleimer, Wilkerson and Aiken 2003), so two texts that share 19 words in a row share a kept hash.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.data import EVALUATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINGERPRINTS = Path(__file__).parent / "fingerprints"
RUN = 8
"""Words hashed together."""
WINDOW = 12
"""Neighbouring hashes of which the smallest is kept."""
SHORTEST = 4
"""Texts of fewer words say nothing about where they come from."""


def shingles(text: str) -> NDArray[np.uint32]:
    """The hash of every run of 8 words; of a shorter text, of all its words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    if len(words) < SHORTEST:
        return np.empty(0, dtype=np.uint32)
    runs = [" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))]
    return np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint32)


def winnowed(hashes: NDArray[np.uint32], window: int = WINDOW) -> NDArray[np.uint32]:
    """The smallest of every `window` neighbouring hashes, each once."""
    if len(hashes) <= window:
        return hashes.min(keepdims=True) if len(hashes) else hashes
    return np.unique(np.lib.stride_tricks.sliding_window_view(hashes, window).min(axis=1))


def fingerprints(texts: Sequence[str], window: int = WINDOW) -> NDArray[np.uint32]:
    """The kept hashes of all texts, sorted."""
    return np.unique(np.concatenate([winnowed(shingles(text), window) for text in texts]))


def evaluation_fingerprints() -> NDArray[np.uint32]:
    """The kept hashes of the evaluation data, from the file beside this one."""
    found: NDArray[np.uint32] = np.load(FINGERPRINTS / "evaluation.npy")
    return found


def repeats(text: str, known: NDArray[np.uint32]) -> bool:
    """Whether a text shares a kept hash with known text; every run of its words is looked up."""
    hashes = shingles(text)
    if not len(hashes):
        return False
    places = np.searchsorted(known, hashes).clip(max=len(known) - 1)
    return bool((known[places] == hashes).any())


def evaluation_texts() -> Iterator[str]:
    """Every text in the evaluation data, transcripts by turn."""
    for data in EVALUATION:
        for row in data.rows():
            for text in _strings(row):
                yield from re.split(r"\n\n(?:Human|Assistant):", text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


if __name__ == "__main__":
    FINGERPRINTS.mkdir(exist_ok=True)
    kept = fingerprints(sorted(set(evaluation_texts())))
    np.save(FINGERPRINTS / "evaluation.npy", kept)
    print(f"{len(kept):,} hashes")
