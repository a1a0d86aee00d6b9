"""What trains: nothing is printed, the folder of a trainer goes, and what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from fac_datasets.downstream import training
from fac_datasets.errors import DownstreamError, MissingExtra, OptionError


def test_the_folder_of_a_trainer_is_removed() -> None:
    with training.trainer_arguments(
        transformers.TrainingArguments, seed=7, device="cpu", learning_rate=0.1, epochs=2
    ) as arguments:
        assert Path(arguments.output_dir).is_dir()
        assert (arguments.seed, arguments.data_seed, arguments.num_train_epochs) == (7, 7, 2)
    assert not Path(arguments.output_dir).exists()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "peft" else name)
    with pytest.raises(MissingExtra, match=r"peft is needed.*downstream"):
        training.require_downstream()


def test_too_few_rows_are_told_with_what_was_left_out() -> None:
    training.require_enough("train", 8, 9, 8, {}, "rows")
    with pytest.raises(DownstreamError, match=r"train has 7 rows to use of 9, and at least 8 .*: 2 without text"):
        training.require_enough("train", 7, 9, 8, {"without text": 2}, "rows")


def test_lora_reads_the_last_token_behind_all_layers(tiny_backbone: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "layer": 1,
        "pooling": "mean",
        "max_length": 64,
        "device": None,
        "out": tmp_path,
        "states": None,
    }
    head, lora = (training.states_of(tiny_backbone, method, **options) for method in ("head", "lora"))
    assert (head.layer, head.pooling, lora.layer, lora.pooling) == (1, "mean", 3, "last")
    with pytest.raises(OptionError, match="magic"):
        training.states_of(tiny_backbone, "magic", **options)
