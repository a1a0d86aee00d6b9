"""Dataset curation for the Hugging Face ecosystem by Feature Activation Coverage.

Importing the package is quick: names load what they need on first use, and `evaluate.load("fac")` works from then on.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

# Imported here, not on first use: module and function share a name, and the function has to win.
from fac_datasets.coverage import CoverageReport, FeatureCoverage, coverage
from fac_datasets.metric_registry import load_metric, register_metrics

if TYPE_CHECKING:
    from fac_datasets.backbone import Backbone
    from fac_datasets.errors import FacDatasetsError
    from fac_datasets.extraction import FeatureExtractor
    from fac_datasets.extraction_job import shard_coverage
    from fac_datasets.feature_space import FeatureSpace
    from fac_datasets.generation.endpoint import EndpointGenerator
    from fac_datasets.generation.local import LocalGenerator
    from fac_datasets.interpretation.spans import feature_table
    from fac_datasets.sae.calibration import calibrate_sae
    from fac_datasets.sae.evaluation import evaluate_sae
    from fac_datasets.sae.formats import load_sae
    from fac_datasets.sae.model import SparseAutoencoder
    from fac_datasets.sae.training import TrainingConfig, train_sae
    from fac_datasets.synthesis.augment import augment
    from fac_datasets.synthesis.synthesize import synthesize

__version__ = version("fac-datasets")

_HOME = {
    "Backbone": "backbone",
    "EndpointGenerator": "generation.endpoint",
    "FacDatasetsError": "errors",
    "FeatureExtractor": "extraction",
    "FeatureSpace": "feature_space",
    "LocalGenerator": "generation.local",
    "SparseAutoencoder": "sae.model",
    "TrainingConfig": "sae.training",
    "augment": "synthesis.augment",
    "calibrate_sae": "sae.calibration",
    "evaluate_sae": "sae.evaluation",
    "feature_table": "interpretation.spans",
    "load_sae": "sae.formats",
    "shard_coverage": "extraction_job",
    "synthesize": "synthesis.synthesize",
    "train_sae": "sae.training",
}

__all__ = [
    "Backbone",
    "CoverageReport",
    "EndpointGenerator",
    "FacDatasetsError",
    "FeatureCoverage",
    "FeatureExtractor",
    "FeatureSpace",
    "LocalGenerator",
    "SparseAutoencoder",
    "TrainingConfig",
    "augment",
    "calibrate_sae",
    "coverage",
    "evaluate_sae",
    "feature_table",
    "load_metric",
    "load_sae",
    "register_metrics",
    "shard_coverage",
    "synthesize",
    "train_sae",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fac_datasets' has no attribute {name!r}")
    return getattr(import_module(f"fac_datasets.{_HOME[name]}"), name)


register_metrics()
