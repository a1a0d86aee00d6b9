"""A small augmented dataset with all that its publication takes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import datasets
import pytest

from fac_datasets import CoverageReport, FeatureExtractor, augment, coverage
from fac_datasets.publishing import HubTarget, Published, publish
from fac_datasets.synthesis.augment import AugmentedDataset
from fac_datasets.synthesis.provenance import synthetic_features
from tests.tiny import TEXTS

NEW_TEXTS = ["She plays the cello every evening.", "Seven boats left the harbour at dawn."]


def synthetic_rows(texts: list[str], feature_space: str) -> datasets.Dataset:
    """Rows as `synthesize` returns them."""
    rows = [
        {
            "text": text,
            "synthetic_id": f"s{number}",
            "target_feature": number,
            "target_name": f"feature {number}",
            "target_part": "text",
            "target_activation": 2.0,
            "target_threshold": 1.0,
            "method": "examples",
            "attempt": 1,
            "generator": "tiny@0",
            "prompt_digest": f"{number:016x}",
            "steering_strength": 0.0,
            "seed": 0,
            "feature_space": feature_space,
        }
        for number, text in enumerate(texts)
    ]
    columns = {name: [row[name] for row in rows] for name in synthetic_features()}
    return datasets.Dataset.from_dict(columns, features=synthetic_features())


@dataclass(frozen=True)
class Case:
    """What is published."""

    extractor: FeatureExtractor
    seed: datasets.Dataset
    anchor: datasets.Dataset
    synthetic: datasets.Dataset
    augmented: AugmentedDataset
    report: CoverageReport
    after: CoverageReport

    def publish(self, repo: str = "me/data", **options: Any) -> Published:
        """Publish it, with a licence and the anchor unless told otherwise; options may be those of the target too."""
        of_target = {each.name: options.pop(each.name) for each in fields(HubTarget) if each.name in options}
        defaults = {"after": self.after, "anchor": self.anchor, "license": "cc-by-4.0", "language": "en"}
        augmented = options.pop("augmented", self.augmented)
        return publish(augmented, HubTarget(repo, **of_target), self.report, **{**defaults, **options})


@pytest.fixture(scope="session")
def case(tiny_backbone: str, tiny_sae: str) -> Case:
    """A seed of two texts, an anchor of seven of which one is in the seed too, and two synthetic rows."""
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    seed = datasets.Dataset.from_dict({"text": TEXTS[:2], "topic": ["home", "physics"]})
    anchor = datasets.Dataset.from_dict({"text": TEXTS[1:8]})
    synthetic = synthetic_rows(NEW_TEXTS, str(extractor.feature_space))
    augmented = augment(seed, synthetic)
    rows = [part.map(extractor, batched=True) for part in (seed, anchor, augmented.dataset["train"])]
    names = ("me/seed", "me/anchor")
    report = coverage(rows[0], rows[1], threshold="q75", names=names)
    after = coverage(rows[2], rows[1], threshold="q75", names=("me/seed + synthetic", names[1]))
    return Case(extractor, seed, anchor, synthetic, augmented, report, after)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes at once; the seconds that were waited for."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited
