"""Near-duplicate rate as an evaluate metric."""

import evaluate

from fac_datasets.diversity import near_duplicate_rate
from fac_datasets.evaluate_modules import metric as evaluate_metric

_DESCRIPTION = """
Share of texts that nearly repeat another one: their sets of five-word shingles have at least a given Jaccard
similarity, estimated by MinHash (datasketch, 128 permutations).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure.
    threshold: Jaccard similarity from which texts are alike; by default 0.8.
    tokenize: a function that takes a text and gives its words.
    seed: of the hashes.
    references: not used; accepted so that the metric combines with those that have an anchor.

Returns:
    near_duplicate_rate: in [0, 1].
    n_rows, n_tokens: texts and words.

Examples:
    >>> metric = evaluate.load("near_duplicate_rate")
    >>> metric.compute(predictions=["The cat sat down.", "The cat sat down.", "It rains."])["near_duplicate_rate"]
    0.6666666666666666
"""

_CITATION = """
@inproceedings{broder1997resemblance,
    title = {On the Resemblance and Containment of Documents},
    author = {Broder, Andrei Z.},
    booktitle = {Compression and Complexity of Sequences},
    year = {1997}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class NearDuplicateRate(evaluate_metric.DatasetMetric):
    """Near-duplicate rate."""

    measure = staticmethod(near_duplicate_rate)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=evaluate_metric.TEXTS,
            reference_urls=["https://ekzhu.com/datasketch"],
        )
