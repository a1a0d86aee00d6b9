"""What rows start with runs once, and changes no feature."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from fac_datasets import FeatureExtractor
from fac_datasets.backbone import batching
from tests.comparing import assert_same_features, features_of
from tests.tiny import TEXTS, make_tiny_backbone


def test_a_prefix_that_rows_share_runs_once(tiny_backbone: str, tiny_sae: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = {"role": "system", "content": " ".join(TEXTS[:4])}
    chats = [[system, {"role": "user", "content": text}] for text in TEXTS]
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    of_chats = extractor.windows(chats)
    run = 0
    forward = extractor.backbone.model.forward

    def counting(*, input_ids: torch.Tensor, **options: object) -> object:
        nonlocal run
        run += input_ids.numel()
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(extractor.backbone.model, "forward", counting)
    found = features_of(extractor.extract(chats))
    own = sum(len(window.token_ids) - window.prefix for window in of_chats)
    assert run < 1.1 * (of_chats[0].prefix + own) < 0.6 * sum(len(window.token_ids) for window in of_chats)
    assert_same_features(found, [features_of(extractor.extract([chat]))[0] for chat in chats])


def test_a_backbone_with_a_sliding_window_shares_no_prefix(
    tmp_path: Path, tiny_sae: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "WORTH_SHARING", 1)
    folder = make_tiny_backbone(tmp_path / "plain")
    config = transformers.MistralConfig.from_pretrained(folder, sliding_window=16)
    torch.manual_seed(0)
    transformers.MistralForCausalLM(config).save_pretrained(folder)
    extractor = FeatureExtractor(str(folder), tiny_sae, threshold=0, other_backbone=True)
    rows = ["a" * 50, *TEXTS * 3]
    assert not any(batch.prefix for batch in extractor.backbone.batches(extractor.windows(rows), 4096))
    singly = [features_of(extractor.extract([row]))[0] for row in rows]
    assert_same_features(features_of(extractor.extract(rows)), singly)
