"""Feature activation coverage as an evaluate metric."""

from typing import Any

import evaluate

from fac_datasets.evaluate_modules import metric as evaluate_metric
from fac_datasets.evaluate_modules.text_coverage import coverage_of_inputs
from fac_datasets.rows.inputs import rows_of

_DESCRIPTION = """
Feature activation coverage (FAC): the share of the sparse-autoencoder features that an anchor activates which the
measured texts activate too, FAC(D; A) = |F(D) and F(A)| / |F(A)|. The anchor stands for the target task and is given as
`references`; it need not have as many rows as `predictions`.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the texts or chats to measure, or for each row the list of its active feature ids.
    references: the anchor, in the same form.
    threshold: a number in the SAE's units, or "q50", "q75", "q90", "q95", "q99": that quantile of each feature's own
        token activations. A list of thresholds gives lists. Not used for feature ids.
    features: count only these feature ids, such as the task-relevant ones.
    missing_of: ids of the features that a seed was missing, or the content of its report: `of_missing` tells how many
        of them the predictions reach.
    count: what of a feature counts: "binary", that it is active; "rows", sum of min(r_D, r_A) over sum of r_A, r the
        share of rows that activate it; "activation", the same with its largest activation (not for feature ids).
    rarefaction: also give the expected coverage of n random rows.
    budget_tokens: also give the coverage of random parts of the predictions that hold as many own tokens on average.
    control: "random_sae" also gives the coverage measured with an SAE of random directions.
    backbone, sae, layer: the language model and the sparse autoencoder; by default the embedded pair.
    seed: of bootstrap and draws.

Returns:
    fac: coverage in [0, 1], of the features in `features` where these are given.
    low, high: 95 % bootstrap interval over the rows of `predictions`, the anchor fixed; None for a single row.
    no_interval: where there is none, why.
    of_anchor, of_relevant, of_missing: {"covered", "of", "share", "low", "high"} of all the anchor's features, of those
        in `features`, and of those that the seed was missing; None where not asked for.
    n_covered, n_relevant: features covered, and features that the anchor activates.
    missing: ids the anchor activates and the predictions do not, those of most anchor rows first.
    names: of missing features of the embedded SAE, by id as text.
    n_rows, n_tokens: rows and own tokens of the predictions (None for feature ids).
    rarefaction: with `rarefaction`, pairs of a number of rows and the expected coverage.
    fac_at_budget, fac_at_budget_std: with `budget_tokens`, mean and standard deviation over 100 draws.
    fac_random_sae: with `control`.

Examples:
    >>> fac = evaluate.load("fac")
    >>> result = fac.compute(predictions=[[1, 2], [2]], references=[[1, 2, 3], [3, 4]])
    >>> result["fac"], result["missing"]
    (0.5, [3, 4])
"""

_CITATION = """
@article{li2026less,
    title = {Less is Enough: Synthesizing Diverse Data in Feature Space of {LLMs}},
    author = {Li, Zhongzhi and Wu, Xuansheng and Li, Yijiang and Hu, Lijie and Liu, Ninghao},
    journal = {arXiv preprint arXiv:2602.10388},
    year = {2026}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class FAC(evaluate_metric.DatasetMetric):
    """Feature activation coverage."""

    measure = staticmethod(coverage_of_inputs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[evaluate_metric.TEXTS, evaluate_metric.IDS, evaluate_metric.CHATS],
            reference_urls=["https://arxiv.org/abs/2602.10388"],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> Any:
        """Compute the metric; the anchor is no declared input, because those must all have the same length."""
        anchor = None if references is None else rows_of(references, "references")
        return super().compute(predictions=predictions, anchor=anchor, **options)
