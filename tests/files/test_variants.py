"""A variant is one file: a format, a filter, a kind and an explainer are added without touching any other file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fac_datasets

NEW_FILES = {
    "sae/formats/plain_numpy.py": """
        '''SAEs in one file of numpy.'''
        from pathlib import Path
        import numpy as np
        import torch
        from fac_datasets.sae.formats.base import SAEFormat
        from fac_datasets.sae.model import SAEConfig

        def _config(weights: Path) -> SAEConfig:
            d_in, d_sae = np.load(weights)["W_enc"].shape
            return SAEConfig(d_in=d_in, d_sae=d_sae, layer=1, architecture="relu", tied=True)

        def _tensors(weights: Path) -> dict[str, torch.Tensor]:
            return {name: torch.from_numpy(array) for name, array in np.load(weights).items()}

        PLAIN_NUMPY = SAEFormat("plain_numpy", "plain.npz", None, _config, _tensors)
        """,
    "synthesis/filters/shouting.py": """
        '''Samples that shout.'''
        from fac_datasets.synthesis.filters.base import Filter

        class Shouting(Filter):
            reason, turn = "shouting", 15

            def rejects(self, sample):
                return sample.text.isupper()
        """,
    "synthesis/kinds/haiku.py": """
        '''Haiku.'''
        from fac_datasets.synthesis.kinds.text import Text

        class Haiku(Text):
            name, looks_for, turn = "haiku", "a column haiku", 5

            @classmethod
            def of(cls, rows, *, column=None, label_column=None):
                return cls(rows, "haiku") if "haiku" in rows.column_names else None
        """,
    "interpretation/explainers/first_word.py": """
        '''Names that are the first word of the strongest span.'''
        from fac_datasets.interpretation.explainers.base import Explainer, Explanation

        class FirstWord(Explainer):
            name = "first word"

            def explain(self, spans):
                return [Explanation(of_feature[0]["text"].split()[0]) for of_feature in spans]
        """,
}

USE = """
import sys
import numpy as np
from fac_datasets import load_sae
from fac_datasets.interpretation.explainers import EXPLAINERS
from fac_datasets.synthesis.filters import Filters
from datasets import Dataset
from fac_datasets.synthesis.kinds import recognise

np.savez(f"{sys.argv[1]}/plain.npz", W_enc=np.eye(3, 5), b_enc=np.zeros(5), b_dec=np.zeros(3))
assert load_sae(sys.argv[1]).config.d_sae == 5
assert Filters([]).reject("THE CAT SAT ON THE MAT") == "shouting"
assert recognise(Dataset.from_dict({"haiku": ["a frog jumps in"]})).name == "haiku"
assert EXPLAINERS["first_word"]().explain([[{"text": "tea time"}]])[0].name == "tea"
"""


@pytest.mark.slow
def test_a_format_a_filter_a_kind_and_an_explainer_are_one_file_each(tmp_path: Path) -> None:
    package = Path(fac_datasets.__file__).parent
    copy = tmp_path / "fac_datasets"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "bundled", "_resources"))
    for kind in ("metrics", "cards", "spaces"):
        (tmp_path / kind).symlink_to(package.parent / kind)
    for name, lines in NEW_FILES.items():
        assert not (copy / name).exists()
        (copy / name).write_text("\n".join(line.removeprefix(" " * 8) for line in lines.splitlines()))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", USE, str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
