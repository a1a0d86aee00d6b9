"""What all training of downstream tasks shares: arguments of the trainers, LoRA, and the extra that brings both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fac_datasets.backbone.pretrained import torch_device
from fac_datasets.errors import MissingExtra, OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from peft import LoraConfig

METHODS = ("head", "lora")
"""A linear head on the frozen backbone, or a head and low-rank adapters of the backbone's linear layers."""

BATCH_ROWS = 8
"""Rows of a step of a trainer."""

LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": "all-linear"}
"""Low-rank adapters on every linear layer but the head (arXiv 2106.09685, 2305.14314)."""


def require_method(method: str) -> None:
    """Raise OptionError unless a task can be trained in this way."""
    if method not in METHODS:
        raise OptionError(f"method={method!r} is none of {', '.join(METHODS)}")


def require_downstream() -> None:
    """Raise MissingExtra unless what trains is installed."""
    missing = [name for name in ("peft", "sklearn", "trl") if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} is needed to train; pip install 'fac-datasets[downstream]'")


def lora_config(task_type: str) -> LoraConfig:
    """The adapters that all tasks train.

    Args:
        task_type: of peft: `"SEQ_CLS"` or `"CAUSAL_LM"`.
    """
    from peft import LoraConfig

    return LoraConfig(task_type=task_type, **LORA)


@contextmanager
def trainer_arguments(
    kind: Callable[..., Any], *, seed: int, device: str | None, learning_rate: float, epochs: float, **others: Any
) -> Iterator[Any]:
    """Arguments of a trainer that logs and saves nothing and draws everything from a seed.

    Args:
        kind: `transformers.TrainingArguments`, `trl.RewardConfig` or `trl.SFTConfig`.
        seed: of the start of what is trained, and of the order of rows.
        device: torch device; by default CUDA where there is one.
        learning_rate: the highest, of a linear decay.
        epochs: how often each row is seen.
        others: further arguments.

    Yields:
        The arguments, whose folder is removed at the end.
    """
    import transformers
    from datasets.utils import are_progress_bars_disabled

    # Before a head is made, which the trainer does not start itself.
    transformers.set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        yield kind(
            output_dir=folder,
            seed=seed,
            data_seed=seed,
            learning_rate=learning_rate,
            num_train_epochs=epochs,
            **{
                "per_device_train_batch_size": BATCH_ROWS,
                "use_cpu": torch_device(device).type == "cpu",
                "bf16": False,
                "gradient_checkpointing": False,
                "report_to": "none",
                "save_strategy": "no",
                "logging_strategy": "no",
                "disable_tqdm": are_progress_bars_disabled(),
                "remove_unused_columns": False,
                "dataloader_num_workers": 0,
                **others,
            },
        )


def head_over(states: NDArray[np.float32], n_labels: int) -> Any:
    """A linear head over vectors that are known, as a model of transformers whose tokens are numbers of rows.

    Trainers of transformers and trl take it for a sequence classifier, so that a frozen backbone need not run again.

    Args:
        states: [n_rows, d_model]; a text of the one token i has the vector i.
        n_labels: numbers that the head gives.
    """
    import torch
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Head(PreTrainedModel):  # type: ignore[misc]
        """A linear layer over one vector a row."""

        config_class = PretrainedConfig

        def __init__(self) -> None:
            super().__init__(PretrainedConfig(num_labels=n_labels, pad_token_id=0))
            self.register_buffer("states", torch.from_numpy(states), persistent=False)
            self.score = torch.nn.Linear(states.shape[1], n_labels, bias=False)
            # As transformers starts the heads of sequence classifiers.
            torch.nn.init.normal_(self.score.weight, std=0.02)

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
        ) -> SequenceClassifierOutput:
            """The numbers of each row."""
            return SequenceClassifierOutput(logits=self.score(self.states[input_ids[:, 0]]))

    return Head()
