"""The training sets of `study_correlation`: families that differ in what they cover, of equal own tokens and labels.

Each variant of a family is drawn three times, by the seeds. Of a set each label has a budget of own tokens, which rows
fill in the variant's order up to 1 %, or 2 % where they run dry; a row that is too long for what is left is passed
over. Families:

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
from functools import cached_property, partial
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
TOLERANCE, MOST_UNUSED, NEAR_TOLERANCE = 0.01, 0.02, 0.1
"""Part of a budget with which filling it ends, part that may stay unused where rows run dry, and part of what near
duplicates may take, which other rows then take."""

PART = 2 / 3
"""Rows of the pool that a draw of a way without randomness chooses from."""

REPEATED_ROWS = 4
"""Rows of each label that near duplicates are variants of."""

EDITS = 0.06
"""Edits of a near duplicate, of its words."""

NEAR_DUPLICATES = (25, 50, 75)
"""Per cent of the tokens."""

PARTS_OF = {"S": ("S", "S3"), "H": ("H", "H2"), "V": ("V", "V2"), "HR": ("HR",), "SH": ("SH",)}
"""The categories, and with which labels a row is of one."""

LEFT_OUT: tuple[tuple[str, ...], ...] = (
    ("V",),
    ("S",),
    ("H",),
    ("SH",),
    ("HR",),
    ("V", "S"),
    ("S", "H"),
    ("S", "SH"),
    ("H", "HR"),
)
ALONE = ("S", "H")
PLANTED: dict[int, tuple[str, ...]] = {0: ("V",), 50: ("V", "HR", "SH"), 100: ("V", "HR", "SH", "H", "S")}
"""By per cent of the categories beside the first."""

CLUSTERS, CLUSTERS_LEFT_OUT, CLUSTERS_PLANTED = 8, (1, 2, 4, 6, 7), {0: 1, 50: 4, 100: 8}
COVERAGE = ("q50", "q90", "q95", "q99")

EXPLORED = ("random", "near_duplicates_50", "left_out_4_clusters", "coverage_q90")


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


def repeats(labels: NDArray[np.bool_], sizes: Rows, budgets: Mapping[bool, int], most: int) -> list[Repeat]:
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


def filled(order: Sequence[int] | Rows, sizes: Rows, budget: float, tolerance: float = TOLERANCE) -> list[int]:
    """Rows in their order until a budget is used but for a part; those that are too long for the rest are passed over.

    Raises:
        DatasetError: there are too few rows.

    Example:
        >>> filled([2, 0, 1], np.array([50, 70, 50]), 100)
        [2, 0]
    """
    taken: list[int] = []
    spent = 0
    for row in order:
        if spent >= (1 - tolerance) * budget:
            break
        if spent + sizes[row] <= budget:
            taken.append(int(row))
            spent += int(sizes[row])
    if spent < (1 - max(tolerance, MOST_UNUSED)) * budget:
        raise DatasetError(f"{len(order)} rows fill {spent} of {budget:g} own tokens; make the sets smaller")
    return taken


class Orders(NamedTuple):
    """How the sets of a variant and seed are filled."""

    of: Callable[[bool], Sequence[int] | Rows]
    """Gives the rows of a label, the first to take first."""
    left: dict[str, int]
    """See `Chosen`."""


class Plan(NamedTuple):
    """A variant of a family."""

    family: str
    orders: Callable[[Material, int], Orders]
    """Takes what sets are made of, and a seed."""


def plans(*, by_category: bool) -> dict[str, Plan]:
    """Every variant by name.

    Args:
        by_category: whether rows have categories; else clusters are left out.
    """
    found = {"random": Plan("random", _random)}
    if by_category:
        for names in LEFT_OUT:
            found[f"left_out_{'_'.join(names)}"] = Plan("left_out", partial(_without_categories, names))
        for name in ALONE:
            found[f"alone_{name}"] = Plan("alone", partial(_alone, name))
        for share, names in PLANTED.items():
            found[f"planted_{share}"] = Plan("planted", partial(_of_categories, names))
    else:
        for n in CLUSTERS_LEFT_OUT:
            found[f"left_out_{n}_clusters"] = Plan("left_out", partial(_without_clusters, n))
        for share, n in CLUSTERS_PLANTED.items():
            found[f"planted_{share}"] = Plan("planted", partial(_of_clusters, n))
    for share in NEAR_DUPLICATES:
        found[f"near_duplicates_{share}"] = Plan("near_duplicates", partial(_repeating, share))
    for threshold in COVERAGE:
        found[f"coverage_{threshold}"] = Plan("coverage", partial(_by_way, _covering(threshold)))
    for way, order in _ORDERS.items():
        found[way] = Plan(way, partial(_by_way, order))
    return found


def training_set(material: Material, variant: str, seed: int) -> Chosen:
    """The set of a variant that a seed draws."""
    plan = plans(by_category=bool(material.categories))[variant]
    orders = plan.orders(material, seed)
    rows = [filled(orders.of(label), material.sizes, budget) for label, budget in material.budgets.items()]
    return Chosen(plan.family, variant, seed, np.concatenate([np.array(one, np.int64) for one in rows]), orders.left)


def detection_sets(material: Material) -> list[Chosen]:
    """All sets of a task of detection."""
    variants = plans(by_category=bool(material.categories))
    return [training_set(material, variant, seed) for variant in variants for seed in SEEDS]


def planted_sets(material: Material) -> list[Chosen]:
    """The sets whose scores have to rise, if sets of this size can show anything."""
    return [training_set(material, f"planted_{share}", seed) for share in PLANTED for seed in SEEDS]


def exploratory_sets(material: Material) -> list[Chosen]:
    """The 12 sets of a task that is only explored."""
    return [training_set(material, variant, seed) for variant in EXPLORED for seed in SEEDS]


def _generator(seed: int, label: bool) -> np.random.Generator:
    return np.random.default_rng([seed, int(label)])


def is_of(categories: Mapping[str, NDArray[np.int8]], name: str) -> NDArray[np.bool_]:
    """Which rows are of a category, or of a part of it."""
    found: NDArray[np.bool_] = np.any([categories[part] == 1 for part in PARTS_OF[name]], axis=0)
    return found


def _random(material: Material, seed: int) -> Orders:
    return _among(material, seed, np.ones(material.n_pool, dtype=bool), {})


def _among(material: Material, seed: int, kept: NDArray[np.bool_], left: dict[str, int]) -> Orders:
    """Random rows of those that are kept of the pool, [n_pool]."""
    return Orders(
        lambda label: _generator(seed, label).permutation(material.pool(label)[kept[material.pool(label)]]), left
    )


def _without_categories(names: Sequence[str], material: Material, seed: int) -> Orders:
    toxic = material.labels[: material.n_pool]
    unlabelled = np.any([material.categories[name] == -1 for name in names], axis=0)
    harmful = toxic & ~unlabelled & np.any([is_of(material.categories, name) for name in names], axis=0)
    counted = {
        "toxic and not labelled for what is left out": int((unlabelled & toxic).sum()),
        "other and not labelled for what is left out": int((unlabelled & ~toxic).sum()),
        "of what is left out": int(harmful.sum()),
    }
    return _among(material, seed, ~unlabelled & ~harmful, counted)


def _alone(name: str, material: Material, seed: int) -> Orders:
    toxic = material.labels[: material.n_pool]
    others = np.any([is_of(material.categories, other) for other in PARTS_OF if other != name], axis=0)
    kept = ~toxic | (is_of(material.categories, name) & ~others)
    return _among(material, seed, kept, {"toxic and not of this category alone": int((~kept).sum())})


def _of_categories(names: Sequence[str], material: Material, seed: int) -> Orders:
    toxic = material.labels[: material.n_pool]
    rows = [np.flatnonzero(toxic & is_of(material.categories, name)) for name in names]
    by_label = {
        True: _evenly(material, rows, _generator(seed, True)),
        False: _generator(seed, False).permutation(material.pool(False)),
    }
    return Orders(by_label.__getitem__, {})


def _without_clusters(n: int, material: Material, seed: int) -> Orders:
    kept = _enough(material, n, seed)
    return _among(material, seed, kept, {"of what is left out": int((~kept).sum())})


def _of_clusters(n: int, material: Material, seed: int) -> Orders:
    # The clusters that have most of what both labels need come first, so that one is enough by itself.
    clusters = material.clusters
    has = [min(_held(material, clusters == one, label) for label in material.budgets) for one in range(CLUSTERS)]
    kept = np.argsort(has)[::-1][:n]

    def order_of(label: bool) -> Rows:
        rows = material.pool(label)
        return _evenly(material, [rows[clusters[rows] == one] for one in kept], _generator(seed, label))

    return Orders(order_of, {})


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


def _repeating(share: int, material: Material, seed: int) -> Orders:
    def order_of(label: bool) -> list[int]:
        found = [
            row
            for row, repeat in enumerate(material.repeats, material.n_pool)
            if repeat.seed == seed and material.labels[row] == label
        ]
        repeated = {material.repeats[row - material.n_pool].row for row in found}
        alike = filled(found, material.sizes, share / 100 * material.budgets[label], NEAR_TOLERANCE)
        others = [row for row in _generator(seed, label).permutation(material.pool(label)) if row not in repeated]
        return alike + others

    return Orders(order_of, {})


def _by_way(order: Order, material: Material, seed: int) -> Orders:
    """What a way chooses of a random part of a label's rows, and behind it the others."""

    def order_of(label: bool) -> list[int]:
        drawn = _generator(seed, label).permutation(material.pool(label))
        part = np.sort(drawn[: round(PART * len(drawn))])
        chosen = order(material, part, material.budgets[label], seed)
        taken = {*chosen}
        return chosen + [row for row in drawn.tolist() if row not in taken]

    return Orders(order_of, {})


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
