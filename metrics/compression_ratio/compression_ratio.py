"""Compression ratio as an evaluate metric."""

import evaluate

from fac_datasets.diversity import compression_ratio
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Bytes of all texts over their bytes when compressed by gzip: the more they repeat each other, the higher.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    compression_ratio: 0 for texts without characters.
    n_rows, n_tokens: texts and words.

Examples:
    >>> metric = evaluate.load("compression_ratio")
    >>> metric.compute(predictions=["a" * 1000])["compression_ratio"] > 10
    True
"""

_CITATION = """
@article{shaib2024standardizing,
    title = {Standardizing the Measurement of Text Diversity: A Tool and a Comparative Analysis of Scores},
    author = {Shaib, Chantal and Barrow, Joe and Sun, Jiuding and Siu, Alexa F. and Wallace, Byron C. and Nenkova, Ani},
    journal = {arXiv preprint arXiv:2403.00553},
    year = {2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class CompressionRatio(evaluate_metric.DatasetMetric):
    """Compression ratio."""

    measure = staticmethod(compression_ratio)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=evaluate_metric.TEXTS,
            reference_urls=["https://arxiv.org/abs/2403.00553"],
        )
