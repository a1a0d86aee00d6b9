"""A backbone is told by its content: weights, tokenizer and template."""

from __future__ import annotations

import pytest

from fac_datasets.backbone.identity import backbone_info
from fac_datasets.errors import BackboneError


def test_a_folder_without_a_model_is_an_error(tmp_path: object) -> None:
    with pytest.raises(BackboneError):
        backbone_info(str(tmp_path))


def test_digest_tells_weights_and_templates_apart(tiny_backbone: str, stripping_backbone: str) -> None:
    assert backbone_info(tiny_backbone).digest != backbone_info(stripping_backbone).digest
