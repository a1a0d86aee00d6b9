"""Dataset curation for the Hugging Face ecosystem by Feature Activation Coverage.

Importing the package is quick: names load what they need on first use, and `evaluate.load("fac")` works from then on.
What is not listed here comes from its own module, as in `from fac_datasets.coverage.budget import coverage_at_budget`:
where a folder and a function share a name, as `coverage` does, the name is the function's.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

# Imported here, not on first use: module and function share a name, and the function has to win.
from fac_datasets.coverage.report import CoverageReport, coverage
from fac_datasets.coverage.state import FeatureCoverage
from fac_datasets.evaluate_modules.registry import load_metric, register_metrics

if TYPE_CHECKING:
    from fac_datasets.backbone.model import Backbone
    from fac_datasets.coverage.chosen import Selection
    from fac_datasets.coverage.duplicates import feature_duplicates
    from fac_datasets.coverage.matrix import CoverageMatrix, coverage_matrix
    from fac_datasets.coverage.relevant import relevant_features
    from fac_datasets.coverage.selection import select_covering_subset
    from fac_datasets.coverage.typicality import typical_rows, unusual_rows
    from fac_datasets.errors import FacDatasetsError
    from fac_datasets.feature_space import FeatureSpace
    from fac_datasets.features.extraction_job import shard_coverage
    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.generation.endpoint import EndpointGenerator
    from fac_datasets.generation.local import LocalGenerator
    from fac_datasets.interpretation.ablation import ablation_relevance
    from fac_datasets.interpretation.compare import compare
    from fac_datasets.interpretation.comparison import Comparison
    from fac_datasets.interpretation.contrast import contrast_relevance, distinct_features, split_by_label
    from fac_datasets.interpretation.explain import explain, verify_explanations
    from fac_datasets.interpretation.explainers.llm import LLMExplainer
    from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
    from fac_datasets.interpretation.find import find_rows
    from fac_datasets.interpretation.paired import compare_pairs
    from fac_datasets.interpretation.relevance import judge_relevance
    from fac_datasets.interpretation.scoring import score_explanations
    from fac_datasets.interpretation.spans import FeatureSpans
    from fac_datasets.interpretation.style import style_counts
    from fac_datasets.interpretation.table import feature_table
    from fac_datasets.publishing.data import publish
    from fac_datasets.publishing.sae import publish_sae
    from fac_datasets.publishing.spaces import publish_metrics, publish_space
    from fac_datasets.publishing.target import HubTarget
    from fac_datasets.sae.calibration import calibrate_sae
    from fac_datasets.sae.evaluation import evaluate_sae
    from fac_datasets.sae.loading import load_sae
    from fac_datasets.sae.model import SparseAutoencoder
    from fac_datasets.sae.training.config import TrainingConfig
    from fac_datasets.sae.training.train import train_sae
    from fac_datasets.synthesis.augment import augment
    from fac_datasets.synthesis.synthesize import synthesize

__version__ = version("fac-datasets")

_HOME = {
    "Backbone": "backbone.model",
    "Comparison": "interpretation.comparison",
    "CoverageMatrix": "coverage.matrix",
    "EndpointGenerator": "generation.endpoint",
    "FacDatasetsError": "errors",
    "FeatureExtractor": "features.extractor",
    "FeatureSpace": "feature_space",
    "FeatureSpans": "interpretation.spans",
    "HubTarget": "publishing.target",
    "LLMExplainer": "interpretation.explainers.llm",
    "LocalGenerator": "generation.local",
    "Selection": "coverage.chosen",
    "SparseAutoencoder": "sae.model",
    "TopTokensExplainer": "interpretation.explainers.top_tokens",
    "TrainingConfig": "sae.training.config",
    "ablation_relevance": "interpretation.ablation",
    "augment": "synthesis.augment",
    "calibrate_sae": "sae.calibration",
    "compare": "interpretation.compare",
    "compare_pairs": "interpretation.paired",
    "contrast_relevance": "interpretation.contrast",
    "coverage_matrix": "coverage.matrix",
    "distinct_features": "interpretation.contrast",
    "evaluate_sae": "sae.evaluation",
    "explain": "interpretation.explain",
    "feature_duplicates": "coverage.duplicates",
    "feature_table": "interpretation.table",
    "find_rows": "interpretation.find",
    "judge_relevance": "interpretation.relevance",
    "load_sae": "sae.loading",
    "publish": "publishing.data",
    "publish_metrics": "publishing.spaces",
    "publish_sae": "publishing.sae",
    "publish_space": "publishing.spaces",
    "relevant_features": "coverage.relevant",
    "score_explanations": "interpretation.scoring",
    "select_covering_subset": "coverage.selection",
    "shard_coverage": "features.extraction_job",
    "split_by_label": "interpretation.contrast",
    "style_counts": "interpretation.style",
    "synthesize": "synthesis.synthesize",
    "train_sae": "sae.training.train",
    "typical_rows": "coverage.typicality",
    "unusual_rows": "coverage.typicality",
    "verify_explanations": "interpretation.explain",
}
"""Module of each name that is loaded on first use."""

__all__ = [
    "Backbone",
    "Comparison",
    "CoverageMatrix",
    "CoverageReport",
    "EndpointGenerator",
    "FacDatasetsError",
    "FeatureCoverage",
    "FeatureExtractor",
    "FeatureSpace",
    "FeatureSpans",
    "HubTarget",
    "LLMExplainer",
    "LocalGenerator",
    "Selection",
    "SparseAutoencoder",
    "TopTokensExplainer",
    "TrainingConfig",
    "ablation_relevance",
    "augment",
    "calibrate_sae",
    "compare",
    "compare_pairs",
    "contrast_relevance",
    "coverage",
    "coverage_matrix",
    "distinct_features",
    "evaluate_sae",
    "explain",
    "feature_duplicates",
    "feature_table",
    "find_rows",
    "judge_relevance",
    "load_metric",
    "load_sae",
    "publish",
    "publish_metrics",
    "publish_sae",
    "publish_space",
    "register_metrics",
    "relevant_features",
    "score_explanations",
    "select_covering_subset",
    "shard_coverage",
    "split_by_label",
    "style_counts",
    "synthesize",
    "train_sae",
    "typical_rows",
    "unusual_rows",
    "verify_explanations",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fac_datasets' has no attribute {name!r}")
    return getattr(import_module(f"fac_datasets.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_metrics()
