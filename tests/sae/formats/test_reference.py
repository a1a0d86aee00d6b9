"""The paper's own checkpoints and pairs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import FeatureExtractor, load_sae
from fac_datasets.errors import OptionError, SAEFormatError
from tests.repository import REPOSITORY


@pytest.mark.parametrize(("name", "layer"), [("llama", 16), ("qwen2", 14), ("mistral", 16)])
def test_the_papers_pairs_are_set_up_as_published(name: str, layer: int) -> None:
    extractor = FeatureExtractor.reference(name)
    assert (extractor.layer, extractor.activation) == (layer, "relu")
    assert extractor.sae_name.startswith("Zhongzhi1228/")
    assert isinstance(extractor.threshold, float)


def test_a_reference_pair_can_be_local(tmp_path: Path) -> None:
    fixtures = REPOSITORY / "tests" / "foreign_saes" / "fixtures"
    extractor = FeatureExtractor.reference(
        "llama",
        backbone=str(fixtures / "tiny-llama"),
        sae=str(next((fixtures / "paper_reference").rglob("*.pth"))),
        layer=2,
        threshold=0.5,
    )
    columns = extractor.extract(["The cat sat."])
    assert len(columns["feature_ids"][0])
    assert (columns["feature_activations"][0] > 0.5).all()


def test_an_unknown_pair_is_an_error() -> None:
    with pytest.raises(OptionError, match="known: llama, qwen2, mistral"):
        FeatureExtractor.reference("gpt2")


def test_a_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(marker),)

    with (tmp_path / "TopK7_l2_h48_epoch1.pth").open("wb") as stream:
        pickle.dump({"weight": Payload(), "config": {}}, stream)
    with pytest.raises(SAEFormatError, match="without running code"):
        load_sae(tmp_path)
    assert not marker.exists()
