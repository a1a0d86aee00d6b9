"""Samples that nearly repeat a known text: the seed, the anchor, an example, or an earlier sample.

`copy` finds what shares runs of words with a known text, which is what a leak check is about. By design it lets pass
a text of fewer than eight words that differs in one of them, and a longer one in which two of eleven are replaced. Nor
does it find a text whose words are put into another form, or misspelt, so that few runs are left. A dataset does not
get more diverse by such texts. MinHash of runs of words would add nothing: texts that have 80 % of their runs of five
words in common are copies already. So texts are compared by their characters.
"""

from __future__ import annotations

from collections.abc import Sequence

from rensa import RMinHash, RMinHashLSH

from fac_datasets.synthesis.filters.base import Filter, Sample

NEAR = 0.7
"""Jaccard similarity from which on texts are near duplicates. What different people write is hardly ever as similar;
questions of a quiz that differ in a name or a year are."""

SHINGLE = 3
"""Characters of a shingle."""

_PERMUTATIONS = 160

_BANDS = 32
"""Of five values each: finds two texts of similarity 0.7 with a chance of 1 - (1 - 0.7^5)^32 = 0.997."""

_UNSURE = 0.15
"""Four standard errors of a similarity that MinHash estimates; what seems less alike by more is not compared."""


class NearDuplicate(Filter):
    """Rejects samples whose shingles of three characters are those of a known text, but for a few.

    MinHash (Broder 1997, by rensa) finds texts that may be alike; whether they are is then told exactly. Case,
    punctuation and disguises make no difference; see `fac_datasets.synthesis.words`.
    """

    reason = "near duplicate"
    turn = 40

    def __init__(self) -> None:
        self._texts: list[tuple[str, RMinHash]] = []
        self._index = RMinHashLSH(threshold=NEAR, num_perm=_PERMUTATIONS, num_bands=_BANDS)

    def add(self, words: Sequence[str]) -> None:
        """See `Filter.add`."""
        text = " ".join(words)
        minhash = _minhash(_shingles(text))
        self._index.insert(len(self._texts), minhash)
        self._texts.append((text, minhash))

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        shingles = _shingles(" ".join(sample.words))
        minhash = _minhash(shingles)
        known = (self._texts[place] for place in self._index.query(minhash))
        likely = (_shingles(text) for text, other in known if minhash.jaccard(other) >= NEAR - _UNSURE)
        return any(len(shingles & other) >= NEAR * len(shingles | other) for other in likely)


def _shingles(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def _minhash(shingles: set[str]) -> RMinHash:
    minhash = RMinHash(num_perm=_PERMUTATIONS, seed=0)
    minhash.update(list(shingles))
    return minhash
