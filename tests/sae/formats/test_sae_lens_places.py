"""SAELens writes where an SAE reads and where it writes; only what does both in one residual stream is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fac_datasets import load_sae
from fac_datasets.errors import SAEFormatError

STANDARD = Path(__file__).parents[2] / "foreign_saes" / "fixtures" / "sae_lens_standard" / "sae"


def test_an_sae_that_writes_elsewhere_than_it_reads_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    folder = shutil.copytree(STANDARD, tmp_path / "sae")
    content = json.loads((folder / "cfg.json").read_text())
    hook = content["metadata"]["hook_name"]
    for out in (hook, None):
        content["metadata"]["hook_name_out"] = out
        (folder / "cfg.json").write_text(json.dumps(content))
        assert load_sae(folder).config.hook == hook
    content["metadata"]["hook_name_out"] = "blocks.2.hook_resid_post"
    (folder / "cfg.json").write_text(json.dumps(content))
    with pytest.raises(SAEFormatError, match="is a transcoder"):
        load_sae(folder)
