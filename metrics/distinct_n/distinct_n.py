"""Distinct-n as an evaluate metric."""

import evaluate

from fac_datasets.diversity import distinct_n
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Distinct-n: the number of different n-grams over the number of n-grams, of all texts together and on average over
texts, and a variant that is adjusted for length. Words are lower-cased runs of word characters (letters, digits,
underscores), or of other visible characters.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure.
    n: length of the n-grams, or a list of lengths; by default [1, 2].
    tokenize: a function that takes a text and gives its tokens.
    vocabulary_size: of the adjusted variant; by default 30,522.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    distinct_1, distinct_2, ...: different n-grams over n-grams, of all texts together.
    distinct_1_per_text, ...: the mean over texts.
    distinct_1_adjusted, ...: different n-grams over the number expected of as many uniform draws from the vocabulary.
    n_rows, n_tokens: texts and words.

Examples:
    >>> metric = evaluate.load("distinct_n")
    >>> metric.compute(predictions=["a b a b"], n=2)["distinct_2"]
    0.6666666666666666
"""

_CITATION = """
@inproceedings{li2016diversity,
    title = {A Diversity-Promoting Objective Function for Neural Conversation Models},
    author = {Li, Jiwei and Galley, Michel and Brockett, Chris and Gao, Jianfeng and Dolan, Bill},
    booktitle = {NAACL},
    year = {2016}
}
@inproceedings{liu2022rethinking,
    title = {Rethinking and Refining the Distinct Metric},
    author = {Liu, Siyang and Sabour, Sahand and Zheng, Yinhe and Ke, Pei and Zhu, Xiaoyan and Huang, Minlie},
    booktitle = {ACL},
    year = {2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class DistinctN(evaluate_metric.DatasetMetric):
    """Distinct-n."""

    measure = staticmethod(distinct_n)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=evaluate_metric.TEXTS,
            reference_urls=["https://arxiv.org/abs/1510.03055", "https://arxiv.org/abs/2202.13587"],
        )
