"""The training sets of `study_correlation`: families that differ in what they cover, of equal own tokens and labels.

Each variant of a family is drawn three times, by the seeds. Of a set each label has a budget of own tokens, which rows
fill in the variant's order up to 1 %; a row that is too long for what is left is passed over. Families:

- `random`: the pool's rows in random order;
- `left_out`: without toxic rows of some categories; rows that are not labelled for one of these leave the pool. Of
  tweets, without the rows of whole k-means clusters of their embeddings, which the seed draws;
- `alone`: toxic rows of one category that are of no other;
- `planted`: toxic rows of one category, of half and of all of the five, or rows of one, four and eight clusters, in
  equal parts; fixed, so that scores have to rise;
- `near_duplicates`: a part of the tokens are light variants of a few rows, the others random rows;
- `coverage`: `select_covering_subset` within each label;
- `longest`, `kmeans`, `novelsum`: the ways of `rivals`;
- `distinct_2`, `entropy`, `pair_cosdist`: greedily what raises that measure most.

The last three lines know no randomness, so each draw chooses from a random two thirds of the pool; behind what a way
chooses come the other rows, in random order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets import select_covering_subset
from fac_datasets.diversity.ngrams import words
from fac_datasets.errors import DatasetError
from tests.benchmarks.rivals import RIVALS, Pool

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

SEEDS = (0, 1, 2)
TOLERANCE = 0.01
"""Part of a budget that may stay unused."""

PART = 2 / 3
"""Rows of the pool that a draw of a way without randomness chooses from."""

REPEATED_ROWS = 4
"""Rows of each label that near duplicates are variants of."""

EDITS = 0.06
"""Edits of a near duplicate, of its words."""

NEAR_DUPLICATES, EXPLORED_NEAR_DUPLICATES = (25, 50, 75), 50
"""Per cent of the tokens."""

PARTS_OF = {"S": ("S", "S3"), "H": ("H", "H2"), "V": ("V", "V2"), "HR": ("HR",), "SH": ("SH",)}
"""The categories, and with which labels a row is of one."""

LEFT_OUT = (("V",), ("S",), ("H",), ("SH",), ("HR",), ("V", "S"), ("S", "H"), ("S", "SH"), ("H", "HR"))
ALONE = ("S", "H")
PLANTED: dict[int, tuple[str, ...]] = {0: ("V",), 50: ("V", "HR", "SH"), 100: ("V", "HR", "SH", "H", "S")}
"""By per cent of the categories beside the first."""

CLUSTERS, CLUSTERS_LEFT_OUT, CLUSTERS_PLANTED = 8, (1, 2, 4, 6, 7), {0: 1, 50: 4, 100: 8}
COVERAGE = ("q50", "q90", "q95", "q99")
WAYS = ("longest", "kmeans", "novelsum", "distinct_2", "entropy", "pair_cosdist")


class Repeat(NamedTuple):
    """A near duplicate to be made."""

    row: int
    """Of the pool, which it is a variant of."""
    seed: int


@dataclass(frozen=True)
class Material:
    """What training sets are made of: the rows of a pool, and behind them near duplicates of some."""

    texts: Sequence[str]
    labels: NDArray[np.bool_]
    """[n_rows]"""
    sizes: Rows
    """Own tokens of each row, or 1 where rows are counted, [n_rows]."""
    budgets: Mapping[bool, int]
    """By label the sum of sizes of a set."""
    repeats: Sequence[Repeat]
    """What the last rows are."""
    read_columns: Callable[[], datasets.Dataset]
    """Gives feature columns of the pool's rows, with their texts; only some families need them."""
    embeddings: NDArray[np.floating]
    """Of length 1, [n_rows, d]."""
    categories: Mapping[str, NDArray[np.int8]]
    """Of the pool's rows, see `LabelledRows`; of rows without, clusters of embeddings take their place."""

    @property
    def n_pool(self) -> int:
        """Rows of the pool."""
        return len(self.texts) - len(self.repeats)

    @cached_property
    def columns(self) -> datasets.Dataset:
        """See `read_columns`."""
        return self.read_columns()

    def pool(self, label: bool) -> Rows:
        """The pool's rows of a label."""
        return np.flatnonzero(self.labels[: self.n_pool] == label)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """The k-means cluster of each row of the pool, [n_pool]."""
        from sklearn.cluster import KMeans

        fitted = KMeans(CLUSTERS, n_init=4, random_state=0).fit(self.embeddings[: self.n_pool])
        found: NDArray[np.int64] = fitted.labels_.astype(np.int64)
        return found


class Chosen(NamedTuple):
    """A training set."""

    family: str
    variant: str
    seed: int
    rows: Rows
    left: dict[str, int]
    """Rows that left the pool before, by reason."""

    @property
    def name(self) -> str:
        """As result files call it."""
        return f"{self.variant}-{self.seed}"


def repeats(
    labels: NDArray[np.bool_], sizes: Rows, budgets: Mapping[bool, int], most: int = max(NEAR_DUPLICATES)
) -> list[Repeat]:
    """The near duplicates that the family needs.

    Args:
        labels: of the pool's rows, [n_pool].
        sizes: of these, [n_pool].
        budgets: by label.
        most: per cent of the tokens that they are enough for.
    """
    planned: list[Repeat] = []
    for seed in SEEDS:
        for label, budget in budgets.items():
            rows = np.flatnonzero(labels == label)
            # Rows of middling length: a few that are long would be the whole budget.
            low, high = np.quantile(sizes[rows], (0.25, 0.75))
            middling = rows[(sizes[rows] >= low) & (sizes[rows] <= high)]
            repeated = _generator(seed, label).choice(middling, REPEATED_ROWS, replace=False)
            needed = int(np.ceil(1.2 * most / 100 * budget / sizes[repeated].mean()))
            planned += [Repeat(int(repeated[place % REPEATED_ROWS]), seed) for place in range(needed)]
    return planned


def light_variant(text: str, generator: np.random.Generator) -> str:
    """A text with some words left out, swapped with the next or in other case; at least one of these."""
    found = text.split(" ")
    for _ in range(max(1, round(EDITS * len(found)))):
        place, edit = int(generator.integers(len(found))), int(generator.integers(3))
        if edit == 0 and len(found) > 2:
            del found[place]
        elif edit == 1 and place + 1 < len(found):
            found[place], found[place + 1] = found[place + 1], found[place]
        else:
            found[place] = found[place].swapcase()
    return " ".join(found)


def filled(order: Sequence[int] | Rows, sizes: Rows, budget: float) -> list[int]:
    """Rows in their order until a budget is used up to `TOLERANCE`; those that are too long for the rest passed over.

    Raises:
        DatasetError: there are too few rows.

    Example:
        >>> filled([2, 0, 1], np.array([50, 70, 50]), 100)
        [2, 0]
    """
    taken: list[int] = []
    spent = 0
    for row in order:
        if spent >= (1 - TOLERANCE) * budget:
            break
        if spent + sizes[row] <= budget:
            taken.append(int(row))
            spent += int(sizes[row])
    if spent < (1 - TOLERANCE) * budget:
        raise DatasetError(f"{len(order)} rows fill {spent} of {budget:g} own tokens; make the sets smaller")
    return taken


def detection_sets(material: Material) -> list[Chosen]:
    """All sets of a task of detection."""
    return [chosen for seed in SEEDS for chosen in _sets_of_seed(material, seed)]


def exploratory_sets(material: Material) -> list[Chosen]:
    """The 12 sets of a task that is only explored: four families."""
    return [
        chosen
        for seed in SEEDS
        for chosen in (
            _random(material, seed),
            _without_clusters(material, seed, CLUSTERS // 2),
            _repeating(material, seed, EXPLORED_NEAR_DUPLICATES),
            _by_way(material, seed, "coverage", "coverage_q90", _covering("q90")),
        )
    ]


def planted_sets(material: Material) -> list[Chosen]:
    """The sets whose scores have to rise, if sets of this size can show anything."""
    return [chosen for seed in SEEDS for chosen in _planted(material, seed)]


def _planted(material: Material, seed: int) -> list[Chosen]:
    if material.categories:
        return _planted_categories(material, seed)
    return [_planted_clusters(material, seed, share) for share in CLUSTERS_PLANTED]


def _sets_of_seed(material: Material, seed: int) -> list[Chosen]:
    if material.categories:
        left_out = _of_categories(material, seed)
    else:
        left_out = [_without_clusters(material, seed, n) for n in CLUSTERS_LEFT_OUT]
    return [
        _random(material, seed),
        *left_out,
        *_planted(material, seed),
        *(_repeating(material, seed, share) for share in NEAR_DUPLICATES),
        *(_by_way(material, seed, "coverage", f"coverage_{one}", _covering(one)) for one in COVERAGE),
        *(_by_way(material, seed, way, way, _ORDERS[way]) for way in WAYS),
    ]


def _random(material: Material, seed: int) -> Chosen:
    return _among(material, "random", "random", seed, np.ones(material.n_pool, dtype=bool), {})


def _made(
    material: Material,
    family: str,
    variant: str,
    seed: int,
    order_of: Callable[[bool], Sequence[int] | Rows],
    left: dict[str, int] | None = None,
) -> Chosen:
    rows = [filled(order_of(label), material.sizes, budget) for label, budget in material.budgets.items()]
    return Chosen(family, variant, seed, np.concatenate([np.array(one, np.int64) for one in rows]), left or {})


def _generator(seed: int, label: bool) -> np.random.Generator:
    return np.random.default_rng([seed, int(label)])


def is_of(categories: Mapping[str, NDArray[np.int8]], name: str) -> NDArray[np.bool_]:
    """Which rows are of a category, or of a part of it."""
    found: NDArray[np.bool_] = np.any([categories[part] == 1 for part in PARTS_OF[name]], axis=0)
    return found


def _of_categories(material: Material, seed: int) -> list[Chosen]:
    of = {name: is_of(material.categories, name) for name in PARTS_OF}
    toxic = material.labels[: material.n_pool]
    sets = []
    for names in LEFT_OUT:
        unlabelled = np.any([material.categories[name] == -1 for name in names], axis=0)
        harmful = toxic & ~unlabelled & np.any([of[name] for name in names], axis=0)
        counted = {
            "toxic and not labelled for what is left out": int((unlabelled & toxic).sum()),
            "other and not labelled for what is left out": int((unlabelled & ~toxic).sum()),
            "of what is left out": int(harmful.sum()),
        }
        kept = ~unlabelled & ~harmful
        sets.append(_among(material, "left_out", f"left_out_{'_'.join(names)}", seed, kept, counted))
    for name in ALONE:
        others = np.any([of[other] for other in PARTS_OF if other != name], axis=0)
        sets.append(_among(material, "alone", f"alone_{name}", seed, ~toxic | (of[name] & ~others), {}))
    return sets


def _planted_categories(material: Material, seed: int) -> list[Chosen]:
    toxic, sets = material.labels[: material.n_pool], []
    for share, names in PLANTED.items():
        of = {name: is_of(material.categories, name) for name in names}
        order = _evenly(material, [np.flatnonzero(toxic & of[name]) for name in names], _generator(seed, True))
        others_order = _generator(seed, False).permutation(material.pool(False))
        by_label = {True: order, False: others_order}
        sets.append(_made(material, "planted", f"planted_{share}", seed, by_label.__getitem__))
    return sets


def _without_clusters(material: Material, seed: int, n: int) -> Chosen:
    kept = _enough(material, n, seed)
    counted = {"of what is left out": int((~kept).sum())}
    return _among(material, "left_out", f"left_out_{n}_clusters", seed, kept, counted)


def _planted_clusters(material: Material, seed: int, share: int) -> Chosen:
    # The clusters that have most of what both labels need come first, so that one is enough by itself.
    clusters = material.clusters
    has = [min(_held(material, clusters == one, label) for label in material.budgets) for one in range(CLUSTERS)]
    kept = np.argsort(has)[::-1][: CLUSTERS_PLANTED[share]]

    def order_of(label: bool) -> Rows:
        rows = material.pool(label)
        return _evenly(material, [rows[clusters[rows] == one] for one in kept], _generator(seed, label))

    return _made(material, "planted", f"planted_{share}", seed, order_of)


def _among(
    material: Material, family: str, variant: str, seed: int, kept: NDArray[np.bool_], left: dict[str, int]
) -> Chosen:
    """Random rows of those that are kept of the pool."""

    def order_of(label: bool) -> Rows:
        return _generator(seed, label).permutation(material.pool(label)[kept[material.pool(label)]])

    return _made(material, family, variant, seed, order_of, left)


def _held(material: Material, kept: NDArray[np.bool_], label: bool) -> float:
    """Sizes of the kept rows of a label, in budgets."""
    rows = material.pool(label)
    return float(material.sizes[rows[kept[rows]]].sum() / material.budgets[label])


def _enough(material: Material, n: int, seed: int) -> NDArray[np.bool_]:
    """The pool without n clusters that the seed draws, again where the others do not fill a set."""
    generator = np.random.default_rng([seed, n])
    for _ in range(1_000):
        kept = ~np.isin(material.clusters, generator.permutation(CLUSTERS)[:n])
        if all(_held(material, kept, label) > 1.1 for label in material.budgets):
            return kept
    raise DatasetError(f"no {CLUSTERS - n} of {CLUSTERS} clusters fill a set; make the sets smaller")


def _evenly(material: Material, groups: Sequence[Rows], generator: np.random.Generator) -> Rows:
    """Rows of groups so that any first part has about as many own tokens of each."""
    places: dict[int, float] = {}
    for rows in groups:
        drawn = generator.permutation(rows)
        for row, place in zip(drawn.tolist(), np.cumsum(material.sizes[drawn]).tolist(), strict=True):
            places.setdefault(row, place)
    return np.array(sorted(places, key=places.__getitem__), np.int64)


def _repeating(material: Material, seed: int, share: int) -> Chosen:
    def order_of(label: bool) -> list[int]:
        found = [
            row
            for row, repeat in enumerate(material.repeats, material.n_pool)
            if repeat.seed == seed and material.labels[row] == label
        ]
        repeated = {material.repeats[row - material.n_pool].row for row in found}
        alike = filled(found, material.sizes, share / 100 * material.budgets[label])
        others = [row for row in _generator(seed, label).permutation(material.pool(label)) if row not in repeated]
        return alike + others

    return _made(material, "near_duplicates", f"near_duplicates_{share}", seed, order_of)


def _by_way(material: Material, seed: int, family: str, variant: str, order: Order) -> Chosen:
    """What a way chooses of a random part of a label's rows, and behind it the others."""

    def order_of(label: bool) -> list[int]:
        drawn = _generator(seed, label).permutation(material.pool(label))
        part = np.sort(drawn[: round(PART * len(drawn))])
        chosen = order(material, part, material.budgets[label], seed)
        taken = {*chosen}
        return chosen + [row for row in drawn.tolist() if row not in taken]

    return _made(material, family, variant, seed, order_of)


Order = Callable[[Material, "Rows", int, int], list[int]]
"""Takes some rows of the pool, a budget and a seed, and gives rows, the best first."""


def _covering(threshold: str) -> Order:
    def order(material: Material, rows: Rows, budget: int, seed: int) -> list[int]:
        chosen: list[int] = []
        left = rows
        # Once no row adds a feature, those left are chosen from anew.
        while len(left) and (room := budget - int(material.sizes[chosen].sum())) > TOLERANCE * budget:
            of_left = material.columns.select(left)
            found = list(select_covering_subset(of_left, threshold=threshold, tokens=room))
            if not found:
                break
            chosen += left[found].tolist()
            left = np.delete(left, found)
        return chosen

    return order


def _rival(name: str, spare: int) -> Order:
    """A way of `rivals`, asked for `spare` times the rows of usual length that fill the budget."""

    def order(material: Material, rows: Rows, budget: int, seed: int) -> list[int]:
        pool = Pool.of(material.columns.select(rows), column="text")
        size = min(len(rows), spare * round(budget / float(material.sizes[rows].mean())))
        chosen: list[int] = rows[RIVALS[name](pool, size, seed)].tolist()
        return chosen

    return order


def _greedy(gains: Callable[[Material, Rows], Callable[[list[int]], NDArray[np.float64]]]) -> Order:
    """The row with the largest gain, again and again."""

    def order(material: Material, rows: Rows, budget: int, seed: int) -> list[int]:
        gain_after = gains(material, rows)
        chosen: list[int] = []
        spent = 0
        fits = material.sizes[rows] <= budget
        while fits.any():
            best = int(np.where(fits, gain_after(chosen), -np.inf).argmax())
            chosen.append(best)
            spent += int(material.sizes[rows[best]])
            fits &= material.sizes[rows] <= budget - spent
            fits[chosen] = False
        return [int(rows[place]) for place in chosen]

    return order


def _new_bigrams(material: Material, rows: Rows) -> Callable[[list[int]], NDArray[np.float64]]:
    """Bigrams that none of the chosen rows has, by own token."""
    found = [words(material.texts[row]) for row in rows]
    held = [set(pairwise(one)) for one in found]

    def gains(chosen: list[int]) -> NDArray[np.float64]:
        if chosen:
            known = held[chosen[-1]].copy()
            for one in held:
                one -= known
        return np.array([len(one) for one in held]) / material.sizes[rows]

    return gains


def _word_entropy(material: Material, rows: Rows) -> Callable[[list[int]], NDArray[np.float64]]:
    """Entropy of the words of the chosen rows and of each one."""
    counted = [Counter(words(material.texts[row])) for row in rows]
    places = {word: place for place, word in enumerate(dict.fromkeys(word for one in counted for word in one))}
    ids = [np.array([places[word] for word in one], np.int64) for one in counted]
    counts = [np.array([*one.values()], np.float64) for one in counted]
    total = np.zeros(len(places))

    def gains(chosen: list[int]) -> NDArray[np.float64]:
        if chosen:
            total[ids[chosen[-1]]] += counts[chosen[-1]]
        # H = log N - (1 / N) sum c log c, of which only the words of a row change.
        logs = _c_log_c(total)
        whole, n = logs.sum(), total.sum()
        found = np.zeros(len(rows))
        for place, (of_row, more) in enumerate(zip(ids, counts, strict=True)):
            now = n + more.sum()
            changed = whole + _c_log_c(total[of_row] + more).sum() - logs[of_row].sum()
            found[place] = np.log(now) - changed / now if now else -np.inf
        return found

    return gains


def _c_log_c(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts * np.log(np.maximum(counts, 1))


def _distances(material: Material, rows: Rows) -> Callable[[list[int]], NDArray[np.float64]]:
    """Sum of the cosine distances to the chosen rows; the first is the row farthest from all."""
    vectors = material.embeddings[rows].astype(np.float64)

    def gains(chosen: list[int]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = -vectors @ vectors[chosen or slice(None)].sum(axis=0)
        return found

    return gains


_ORDERS: dict[str, Order] = {
    "longest": _rival("longest_first", 1_000),
    "kmeans": _rival("kmeans_on_embeddings", 1),
    "novelsum": _rival("novelsum_greedy", 4),
    "distinct_2": _greedy(_new_bigrams),
    "entropy": _greedy(_word_entropy),
    "pair_cosdist": _greedy(_distances),
}
