"""Pairwise cosine distance as an evaluate metric."""

import evaluate

from fac_datasets.diversity import pair_cosdist
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Mean cosine distance between the sentence embeddings of all pairs of texts, exact: from the sum of the unit vectors,
not from a sample of pairs.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure, or their embeddings.
    model: name or folder of a sentence-transformers model; by default all-MiniLM-L6-v2.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    pair_cosdist: in [0, 2]; 0 for a single row.
    n_rows, n_tokens: rows, and words of texts (None for embeddings).

Examples:
    >>> metric = evaluate.load("pair_cosdist")
    >>> metric.compute(predictions=[[1.0, 0.0], [0.0, 2.0]])["pair_cosdist"]
    1.0
"""

_CITATION = """
@inproceedings{reimers2019sentence,
    title = {Sentence-{BERT}: Sentence Embeddings using Siamese {BERT}-Networks},
    author = {Reimers, Nils and Gurevych, Iryna},
    booktitle = {EMNLP},
    year = {2019}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class PairCosdist(evaluate_metric.DatasetMetric):
    """Pairwise cosine distance."""

    measure = staticmethod(pair_cosdist)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[evaluate_metric.TEXTS, evaluate_metric.VECTORS],
            reference_urls=["https://sbert.net"],
        )
