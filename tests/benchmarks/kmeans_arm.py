"""Dense clusters in the place of sparse features, as one more arm of `synthesis_arms`.

Sentence embeddings of the half of the anchor that lends examples are clustered (k-means). Clusters into which no seed
row falls are the gaps. A gap is asked for as `prompted` asks for a feature: with the anchor rows nearest to the centre
as examples, seed rows before them where these are too few; clusters have no names. What passes the filters and falls
into its cluster is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans

from fac_datasets.diversity.embeddings import embeddings_of, unit_vectors
from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.rows.reader import row_texts
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.prompting import prompts_of
from fac_datasets.synthesis.sample_journal import NO_FEATURE, VERIFIED
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.showing import EXAMPLES, shortened
from tests.benchmarks.synthesis_arms import BATCH, SEED, Budget, Kept, Setting, asked, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLUSTERS = 200
"""Of the anchor rows, so that a cluster has about as many rows as a prompt shows."""

OUTSIDE = "outside its cluster"


class Gaps(NamedTuple):
    """Clusters of anchor rows, and those of them that the seed leaves empty."""

    model: Any
    """That tells the cluster of an embedding."""
    empty: list[int]
    """Clusters without a seed row, those of most anchor rows first."""
    rows: dict[int, list[int]]
    """Anchor rows of each of these, the nearest to the centre first."""

    @classmethod
    def of(cls, anchor: Sequence[str], seed: Sequence[str], n_clusters: int = CLUSTERS) -> Gaps:
        """The gaps of a seed."""
        vectors = _vectors(anchor)
        model = KMeans(n_clusters, n_init=3, random_state=SEED).fit(vectors)
        sizes = np.bincount(model.labels_, minlength=n_clusters)
        without = np.setdiff1d(np.arange(n_clusters), model.predict(_vectors(seed)))
        empty = without[np.argsort(-sizes[without], kind="stable")].tolist()
        near = np.argsort(model.transform(vectors), axis=0, kind="stable")
        rows = {gap: [int(row) for row in near[:, gap] if model.labels_[row] == gap] for gap in empty}
        return cls(model, empty, rows)

    def clusters(self, texts: Sequence[str]) -> list[int]:
        """Into which cluster each text falls."""
        found: list[int] = self.model.predict(_vectors(texts)).tolist()
        return found


def kmeans(setting: Setting, generator: TextGenerator, book: Budget) -> Iterator[Kept]:
    """Samples for the gaps, each asked for once a turn until a sample falls into it; then all of them again."""
    filters, prompts = Filters(setting.known), prompts_of(setting.kind)
    anchor, seed_texts = (row_texts(setting.bare(name), None) for name in ("A1", "seed"))
    gaps = Gaps.of(anchor, seed_texts)
    shown = {gap: examples(setting, gap, gaps.rows[gap]) for gap in gaps.empty}
    reached = set[int]()
    for turn in itertools.count():
        wanted = [gap for gap in gaps.empty if gap not in reached] or gaps.empty
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            seeds = np.random.default_rng([SEED, turn, start]).integers(2**32, size=len(batch)).tolist()
            answers = asked(
                book,
                generator,
                [
                    Request(prompts.messages(setting.kind, shown[gap], shown[gap][-1]), seed)
                    for gap, seed in zip(batch, seeds, strict=True)
                ],
            )
            samples = [
                setting.kind.read(completion.text, completion.finished, shown[gap][-1])
                for gap, (_, completion) in zip(batch, answers, strict=True)
            ]
            fell = gaps.clusters([sample.whole if isinstance(sample, Sample) else "" for sample in samples])
            for gap, (key, completion), sample, cluster in zip(batch, answers, samples, fell, strict=True):
                outcome = sample.reason if isinstance(sample, Rejected) else filters.reject(sample.whole)
                outcome = outcome or (VERIFIED if cluster == gap else OUTSIDE)
                judge(book, key, completion, NO_FEATURE, 0.0, outcome)
                if outcome == VERIFIED and isinstance(sample, Sample):
                    filters.add(sample.whole)
                    reached.add(gap)
                    yield Kept(sample.whole, NO_FEATURE)


def examples(setting: Setting, gap: int, rows: Sequence[int]) -> list[Sample]:
    """Rows that a prompt shows for a gap, the nearest to its centre last."""
    found = [setting.kind.sample_of(setting.bare("A1")[row]) for row in rows]
    near = [shortened(sample, kind=setting.kind) for sample in found if sample is not None][:EXAMPLES]
    others = setting.seed_rows[gap % len(setting.seed_rows) :] + setting.seed_rows
    return [*others[: EXAMPLES - len(near)], *reversed(near)]


def _vectors(texts: Sequence[str]) -> NDArray[np.floating]:
    return unit_vectors(embeddings_of(list(texts)))
