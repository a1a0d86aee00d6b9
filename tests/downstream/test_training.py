"""What trains: nothing is printed, the folder of a trainer goes, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from fac_datasets.downstream import training
from fac_datasets.errors import MissingExtra


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
