"""Other ways to choose rows, which studies compare with a selection by coverage.

Each is a function of a pool of rows, the number of rows to choose and a seed, and returns the rows chosen, the best
first. `RIVALS` lists them by name:

- `random_rows`: without replacement;
- `longest_first`: by own tokens, as in Zhao et al. 2024, "Long is more for alignment" (arXiv 2402.04833);
- `kmeans_on_embeddings`: the row nearest to each centre of as many clusters;
- `semhash_representatives`: those of the package semhash, which is installed apart: `pip install semhash==0.5.0`;
- `novelsum_greedy`: the row that is most novel to those chosen, as NovelSum counts (arXiv 2502.17184);
- `greedy_of_2502_14050`: the longest rows that bring a feature which no row before has.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from fac_datasets.coverage.active_rows import ActiveRows, rows_with_features, token_counts
from fac_datasets.diversity.embeddings import embeddings_of, unit_vectors
from fac_datasets.diversity.novelsum import local_density
from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.feature_space import Threshold
from fac_datasets.rows.reader import row_texts

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


class Pool(NamedTuple):
    """Rows to choose from."""

    texts: list[str]
    tokens: NDArray[np.int64]
    """Own tokens of each row, [n_rows]."""
    active: ActiveRows
    """Which row activates which feature."""

    @classmethod
    def of(cls, dataset: datasets.Dataset, *, threshold: Threshold = "q90", column: str | None = None) -> Pool:
        """The rows of a dataset with feature columns."""
        return cls(row_texts(dataset, column), token_counts(dataset), rows_with_features(dataset, threshold))


def random_rows(pool: Pool, size: int, seed: int) -> list[int]:
    """Rows drawn without replacement."""
    _require_size(pool, size)
    drawn: list[int] = np.random.default_rng(seed).permutation(len(pool.texts))[:size].tolist()
    return drawn


def longest_first(pool: Pool, size: int, seed: int) -> list[int]:
    """Rows of most own tokens; of equal ones the lower row. The seed changes nothing."""
    _require_size(pool, size)
    return _longest(pool)[:size]


def kmeans_on_embeddings(pool: Pool, size: int, seed: int) -> list[int]:
    """The row nearest to each centre of as many clusters of sentence embeddings of length 1, largest clusters first.

    A row that is the nearest to a centre before it is not taken twice: the next nearest is. Embeddings are those that
    the library's own measures use by default (all-MiniLM-L6-v2).
    """
    _require_size(pool, size)
    vectors = unit_vectors(embeddings_of(pool.texts))
    fitted = MiniBatchKMeans(size, n_init=3, random_state=seed).fit(vectors)
    sizes = np.bincount(fitted.labels_, minlength=size)
    is_left = np.ones(len(vectors), dtype=bool)
    chosen = []
    for centre in fitted.cluster_centers_[np.argsort(-sizes, kind="stable")]:
        # Of vectors of one length the nearest has the largest product.
        nearest = int(np.where(is_left, vectors @ centre, -np.inf).argmax())
        is_left[nearest] = False
        chosen.append(nearest)
    return chosen


def semhash_representatives(pool: Pool, size: int, seed: int) -> list[int]:
    """The representatives that semhash finds: rows near to many, chosen to differ (maximal marginal relevance).

    Its settings are its own, but that it gets the embeddings of `kmeans_on_embeddings`, for its default model comes
    from the Hub, and at least `size` candidates, of which it takes 1,000 at most by itself. It takes one of rows with
    equal texts, and so fewer than `size` where there are not as many different ones. The seed changes nothing.

    Raises:
        MissingExtra: semhash is not installed.
    """
    _require_size(pool, size)
    try:
        semhash: Any = import_module("semhash")
    except ImportError as error:
        raise MissingExtra(
            "this rival needs semhash, which is no part of any extra: pip install semhash==0.5.0"
        ) from error
    records = [{"text": text, "row": row} for row, text in enumerate(pool.texts)]
    index = semhash.SemHash.from_records(records, columns=["text"], model=_Encoder())
    candidates: Any = "auto" if size <= _MOST_CANDIDATES else size
    found = index.self_find_representative(selection_size=size, candidate_limit=candidates)
    return [int(record["row"]) for record in found.selected]


_MOST_CANDIDATES = 1_000
"""Candidates that semhash considers at most by itself."""


class _Encoder:
    """Sentence embeddings in the form that semhash asks for."""

    def encode(self, inputs: Any, **_: Any) -> NDArray[Any]:
        return embeddings_of([str(text) for text in inputs])


def novelsum_greedy(pool: Pool, size: int, seed: int) -> list[int]:
    """The row with the largest term of NovelSum among those chosen and itself, after a first row that the seed draws.

    "NovelSelect" of Yang et al. 2025 (arXiv 2502.17184). The term is that of `fac_datasets.diversity.novelsum`: the
    average of the distances to the rows chosen, where near ones weigh most, times the square root of the density around
    the row in the pool, as the authors advise. Their code (github.com/UmeanNever/NovelSum, novelselect.py at 11b146c)
    draws the first row too, but adds the density around each chosen row, and leaves out that a row is its own nearest.
    """
    _require_size(pool, size)
    units = unit_vectors(embeddings_of(pool.texts)).astype(np.float64)
    density = local_density(np.sort(np.maximum(0, 2 - 2 * units @ units.T), axis=1), _NEIGHBORS) ** _DENSITY_POWER
    chosen = [int(np.random.default_rng(seed).integers(len(units)))]
    # Of each row to those chosen, ascending.
    distances = np.empty((len(units), 0))
    while len(chosen) < size:
        distances = np.sort(np.column_stack([distances, 1 - units @ units[chosen[-1]]]), axis=1)
        novelty = density * (distances @ (1 / np.arange(2, len(chosen) + 2)))
        novelty[chosen] = -np.inf
        chosen.append(int(novelty.argmax()))
    return chosen


_NEIGHBORS, _DENSITY_POWER = 10, 0.5
"""The authors' density."""


def greedy_of_2502_14050(pool: Pool, size: int, seed: int) -> list[int]:
    """Greedy selection by SAE features after Yang et al. 2025 (arXiv 2502.14050, section 3, "SAE-GreedSelect").

    Rows are gone through once, the longest first, and a row is taken that activates a feature which none taken before
    activates: unlike the greedy choice for maximum coverage it does not look for the row that brings most. Where that
    gives fewer rows than asked for, the features are forgotten and the rest is gone through again; rows without a
    feature come last. The paper's features are active above 10 in the units of its SAE; here the pool says which are.

    Written from descriptions of the paper, whose code is not published: that the longest come first, and what happens
    when no feature is new, are how we read it. The seed changes nothing.
    """
    _require_size(pool, size)
    ends = np.cumsum(np.bincount(pool.active.rows, minlength=len(pool.texts)))
    features = np.split(pool.active.ids, ends[:-1])
    chosen: list[int] = []
    left = _longest(pool)
    while len(chosen) < size:
        is_known = np.zeros(pool.active.ids.max() + 1, dtype=bool)
        passed_by = []
        for row in left:
            if is_known[features[row]].all():
                passed_by.append(row)
            else:
                chosen.append(row)
                is_known[features[row]] = True
        if len(passed_by) == len(left):
            chosen += left
        left = passed_by
    return chosen[:size]


Rival = Callable[[Pool, int, int], list[int]]
RIVALS: dict[str, Rival] = {
    rival.__name__: rival
    for rival in (
        random_rows,
        longest_first,
        kmeans_on_embeddings,
        semhash_representatives,
        novelsum_greedy,
        greedy_of_2502_14050,
    )
}


def _longest(pool: Pool) -> list[int]:
    longest: list[int] = np.argsort(-pool.tokens, kind="stable").tolist()
    return longest


def _require_size(pool: Pool, size: int) -> None:
    if not 1 <= size <= len(pool.texts):
        raise OptionError(f"size={size} rows of {len(pool.texts)} cannot be chosen; choose 1 to {len(pool.texts)}")
