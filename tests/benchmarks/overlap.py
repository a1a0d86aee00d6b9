"""Telling whether training text repeats evaluation data, by hashes that reveal neither.

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.overlap

writes `fingerprints/evaluation.npy` and `evaluation_short.npz`. Two rules find repeats:

- Runs of words: a text is hashed in runs of 8 words; of every 12 neighbouring hashes the smallest is kept (winnowing:
  Schleimer, Wilkerson and Aiken 2003), so a text that shares 19 words in a row with evaluation data shares a kept hash.
- Near duplicates of short texts (4 to 40 words): 35 % of all runs of 3 words in common (Jaccard), or 55 % of the short
  text's own. Two words may be changed in a sentence of 16.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
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
SHORTEST, LONGEST_SHORT = 4, 40
"""Texts of fewer words say nothing about where they come from; longer ones share long runs when they are alike."""


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


def trigrams(text: str) -> NDArray[np.uint32]:
    """The hashes of a text's runs of 3 words, each once."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return np.unique([zlib.crc32(" ".join(words[i : i + 3]).encode()) for i in range(len(words) - 2)]).astype(np.uint32)


def short_texts(texts: Iterable[str]) -> list[NDArray[np.uint32]]:
    """The runs of 3 words of those texts that are short."""
    return [
        trigrams(text) for text in texts if SHORTEST <= len(re.findall(r"[a-z0-9]+", text.lower())) <= LONGEST_SHORT
    ]


class ShortTexts:
    """Short texts as sets of hashed runs of 3 words, to find near duplicates of.

    Args:
        sets: one array of different hashes a text.
    """

    def __init__(self, sets: Sequence[NDArray[Any]]) -> None:
        self.lengths = np.array([len(one) for one in sets], dtype=np.int64)
        hashes = np.concatenate(sets)
        order = np.argsort(hashes, kind="stable")
        self.hashes = hashes[order]
        self.owners = np.repeat(np.arange(len(sets)), self.lengths)[order]

    def resembles(self, found: NDArray[Any]) -> bool:
        """Whether a set of hashes is a near duplicate of any of the texts, or holds one."""
        if not len(found):
            return False
        starts = np.searchsorted(self.hashes, found, "left")
        ends = np.searchsorted(self.hashes, found, "right")
        shared = np.bincount(
            np.concatenate([self.owners[a:b] for a, b in zip(starts, ends, strict=True)]).astype(np.int64),
            minlength=len(self.lengths),
        )
        jaccard = shared / (self.lengths + len(found) - shared)
        contained = (shared >= 0.55 * self.lengths) & (self.lengths >= 4)
        return bool((jaccard >= 0.35).any() or contained.any())


def save_sets(path: Path, sets: Sequence[NDArray[Any]]) -> None:
    """Write sets of hashes as one file."""
    lengths = np.array([len(one) for one in sets], dtype=np.uint8)
    np.savez(path, hashes=np.concatenate(sets), lengths=lengths)


def load_sets(path: Path) -> list[NDArray[Any]]:
    """Read what `save_sets` wrote."""
    with np.load(path) as content:
        return np.split(content["hashes"], content["lengths"].astype(np.int64).cumsum()[:-1])


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
    texts = sorted(set(evaluation_texts()))
    kept = fingerprints(texts)
    np.save(FINGERPRINTS / "evaluation.npy", kept)
    short = short_texts(texts)
    save_sets(FINGERPRINTS / "evaluation_short.npz", short)
    print(f"{len(kept):,} hashes of runs; {len(short):,} short texts")
