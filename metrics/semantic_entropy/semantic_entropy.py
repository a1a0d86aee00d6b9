"""Semantic entropy as an evaluate metric."""

import evaluate

from fac_datasets.diversity import semantic_entropy
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Entropy of how texts spread over k clusters of their sentence embeddings, in bits, and divided by log2 k. Clusters are
those of k-means (scikit-learn) on unit vectors, the best of 4 starts.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure, or their embeddings.
    k: number of clusters; by default 10, at most the number of rows.
    seed: of the clustering.
    model: name or folder of a sentence-transformers model; by default all-MiniLM-L6-v2.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    semantic_entropy: in bits.
    semantic_entropy_normalized: in [0, 1].
    semantic_entropy_k: the k that was used.
    n_rows, n_tokens: rows, and words of texts (None for embeddings).

Examples:
    >>> metric = evaluate.load("semantic_entropy")
    >>> rows = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    >>> metric.compute(predictions=rows, k=2)["semantic_entropy"]
    1.0
"""

_CITATION = """
@article{han2022measuring,
    title = {Measuring and Improving Semantic Diversity of Dialogue Generation},
    author = {Han, Seungju and Kim, Beomsu and Chang, Buru},
    journal = {Findings of EMNLP},
    year = {2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class SemanticEntropy(evaluate_metric.DatasetMetric):
    """Semantic entropy."""

    measure = staticmethod(semantic_entropy)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[evaluate_metric.TEXTS, evaluate_metric.VECTORS],
            reference_urls=["https://arxiv.org/abs/2210.05725"],
        )
