"""NovelSum as an evaluate metric."""

import evaluate

from fac_datasets.diversity import novelsum
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
NovelSum: the mean over rows of the average cosine distance to all rows, in which near ones weigh most, and the row
itself first; on request times a power of the density around the row. Time grows with the square of the rows.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure, or their embeddings.
    include_self: whether a row is its own nearest, at distance 0; by default true.
    distance_power: by default 1; 0 weighs all rows alike.
    density_power: by default 0, which leaves the density out.
    neighbors: rows whose distance gives the density; by default 10.
    model: name or folder of a sentence-transformers model; by default all-MiniLM-L6-v2.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    novelsum: at least 0.
    n_rows, n_tokens: rows, and words of texts (None for embeddings).

Examples:
    >>> metric = evaluate.load("novelsum")
    >>> metric.compute(predictions=[[1.0, 0.0], [0.0, 1.0]])["novelsum"]
    0.3333333333333333
"""

_CITATION = """
@inproceedings{yang2025measuring,
    title = {Measuring Data Diversity for Instruction Tuning: A Systematic Analysis and A Reliable Metric},
    author = {Yang, Yuming and others},
    booktitle = {ACL},
    year = {2025}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class NovelSum(evaluate_metric.DatasetMetric):
    """NovelSum."""

    measure = staticmethod(novelsum)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[evaluate_metric.TEXTS, evaluate_metric.VECTORS],
            reference_urls=["https://arxiv.org/abs/2502.17184"],
        )
