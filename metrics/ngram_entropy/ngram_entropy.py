"""n-gram entropy as an evaluate metric."""

import evaluate

from fac_datasets.diversity import ngram_entropy
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Shannon entropy of the distribution of n-grams of all texts, in bits, and divided by that of as many different n-grams
that are equally frequent. Words are lower-cased runs of word characters (letters, digits, underscores), or of other
visible characters.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure.
    n: length of the n-grams, or a list of lengths; by default [1, 2].
    tokenize: a function that takes a text and gives its tokens.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    ngram_entropy_1, ngram_entropy_2, ...: in bits.
    ngram_entropy_1_normalized, ...: in [0, 1].
    n_rows, n_tokens: texts and words.

Examples:
    >>> metric = evaluate.load("ngram_entropy")
    >>> metric.compute(predictions=["a b c d"], n=1)["ngram_entropy_1"]
    2.0
"""

_CITATION = """
@article{shannon1948mathematical,
    title = {A Mathematical Theory of Communication},
    author = {Shannon, Claude E.},
    journal = {Bell System Technical Journal},
    year = {1948}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class NgramEntropy(evaluate_metric.DatasetMetric):
    """n-gram entropy."""

    measure = staticmethod(ngram_entropy)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=evaluate_metric.TEXTS,
            reference_urls=[],
        )
