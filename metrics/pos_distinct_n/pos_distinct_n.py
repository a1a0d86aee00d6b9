"""POS-tag Distinct-n as an evaluate metric."""

import evaluate

from fac_datasets.diversity import pos_distinct_n
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Distinct-n over part-of-speech tags: the number of different n-grams of tags over the number of n-grams. Tags are the
fine ones of a spaCy pipeline; by default en_core_web_sm.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure.
    n: length of the n-grams, or a list of lengths; by default 2.
    pipeline: name of an installed spaCy pipeline with a tagger.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    pos_distinct_2, ...: different n-grams of tags over n-grams, of all texts together.
    pos_distinct_2_per_text, ...: the mean over texts.
    n_rows, n_tokens: texts and tagged tokens.

Examples:
    >>> metric = evaluate.load("pos_distinct_n")
    >>> metric.compute(predictions=["The cat sat.", "The dog ran."])["pos_distinct_2"]
    0.5
"""

_CITATION = """
@article{honnibal2020spacy,
    title = {{spaCy}: Industrial-strength Natural Language Processing in Python},
    author = {Honnibal, Matthew and Montani, Ines and Van Landeghem, Sofie and Boyd, Adriane},
    year = {2020}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class PosDistinctN(evaluate_metric.DatasetMetric):
    """POS-tag Distinct-n."""

    measure = staticmethod(pos_distinct_n)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=evaluate_metric.TEXTS,
            reference_urls=["https://spacy.io"],
        )
