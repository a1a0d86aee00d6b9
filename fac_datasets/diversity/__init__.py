"""The measures of diversity that are compared with feature activation coverage, as plain functions, a file each.

Each takes texts (or embeddings) and returns the values of its metric by name, with the number of rows and of words, as
the modules under `metrics/` do.
"""

from fac_datasets.diversity.compression_ratio import compression_ratio
from fac_datasets.diversity.distinct_n import distinct_n
from fac_datasets.diversity.near_duplicate_rate import near_duplicate_rate
from fac_datasets.diversity.ngram_entropy import ngram_entropy
from fac_datasets.diversity.novelsum import novelsum
from fac_datasets.diversity.pair_cosdist import pair_cosdist
from fac_datasets.diversity.pos_distinct_n import pos_distinct_n
from fac_datasets.diversity.semantic_entropy import semantic_entropy
from fac_datasets.diversity.vendi_score import vendi_score

__all__ = [
    "compression_ratio",
    "distinct_n",
    "near_duplicate_rate",
    "ngram_entropy",
    "novelsum",
    "pair_cosdist",
    "pos_distinct_n",
    "semantic_entropy",
    "vendi_score",
]
