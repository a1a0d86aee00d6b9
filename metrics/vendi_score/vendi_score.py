"""Vendi score as an evaluate metric."""

from typing import Any

import evaluate

from fac_datasets.diversity import vendi_score
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Vendi score: the effective number of different rows, the exponential of the entropy of the eigenvalues of their cosine
similarities, divided by their number. Exact for up to 4,096 rows or dimensions, whichever are fewer; beyond that an
estimate with its standard error.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure, their embeddings, or for each row the list of its active feature ids.
    kernel: "embeddings" (default), or "features" for feature ids.
    model: name or folder of a sentence-transformers model; by default all-MiniLM-L6-v2.
    seed: of the estimate.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    vendi_score: in [1, number of rows].
    vendi_score_error: standard error of the estimate, 0 where it is exact.
    n_rows, n_tokens: rows, and words of texts (None for others).

Examples:
    >>> metric = evaluate.load("vendi_score")
    >>> metric.compute(predictions=[[1.0, 0.0], [0.0, 1.0]])["vendi_score"]
    2.0
"""

_CITATION = """
@article{friedman2023vendi,
    title = {The {Vendi} Score: A Diversity Evaluation Metric for Machine Learning},
    author = {Friedman, Dan and Dieng, Adji Bousso},
    journal = {Transactions on Machine Learning Research},
    year = {2023}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class VendiScore(evaluate_metric.DatasetMetric):
    """Vendi score."""

    measure = staticmethod(vendi_score)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[evaluate_metric.TEXTS, evaluate_metric.IDS_OR_VECTORS],
            reference_urls=["https://arxiv.org/abs/2210.02410"],
        )

    def _compute(self, predictions: Any, **options: Any) -> dict[str, Any]:
        rows = evaluate_metric.whole_numbers(predictions) if options.get("kernel") == "features" else predictions
        return super()._compute(rows, **options)
