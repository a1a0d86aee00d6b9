"""A seed, an anchor, and what is missing, for the tests of synthesis."""

from __future__ import annotations

import datasets

from fac_datasets import CoverageReport, FeatureExtractor, LocalGenerator, coverage, feature_table, synthesize
from fac_datasets.interpretation.explain import explain
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
from tests.tiny import TEXTS


class Case:
    """A seed of two texts, an anchor of all, and what synthesis needs."""

    def __init__(self, backbone: str, sae: str) -> None:
        self.extractor = FeatureExtractor(backbone, sae, threshold=0)
        self.seed_rows = datasets.Dataset.from_dict({"text": TEXTS[:2], "topic": ["a", "b"]})
        anchor_rows = datasets.Dataset.from_dict({"text": TEXTS[2:8]})
        self.seed = self.seed_rows.map(self.extractor, batched=True)
        self.anchor = anchor_rows.map(self.extractor, batched=True)
        self.report: CoverageReport = coverage(self.seed, self.anchor, threshold="q75")
        self.table = explain(feature_table(self.anchor, features=self.report.missing), TopTokensExplainer())
        self.generator = LocalGenerator(backbone, batch_size=8)

    def synthesize(self, **options: object) -> datasets.Dataset:
        defaults: dict[str, object] = {
            "extractor": self.extractor,
            "generator": self.generator,
            "examples": self.anchor,
            "max_features": 6,
            "max_new_tokens": 24,
            "temperature": 1.0,
        }
        return synthesize(self.report, self.table, **{**defaults, **options})  # type: ignore[arg-type]
