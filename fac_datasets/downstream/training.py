"""What all training of downstream tasks shares: arguments of the trainers, LoRA, and the extra that brings both."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.pretrained import load_model, torch_device
from fac_datasets.downstream.hidden_states import HiddenStates
from fac_datasets.errors import BackboneError, DownstreamError, MissingExtra, OptionError
from fac_datasets.generation.base import counts_in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from peft import LoraConfig

METHODS = ("head", "lora")
"""A linear head on the frozen backbone, or a head and low-rank adapters of the backbone's linear layers."""

BATCH_ROWS = 8
"""Rows of a step of a trainer."""

STATES = "states"
"""Folder of hidden states in that of a run."""

LORA: dict[str, Any] = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": "all-linear"}
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


def require_enough(name: str, usable: int, given: int, least: int, left_out: Mapping[str, int], what: str) -> None:
    """Raise DownstreamError unless a set has as many rows to use as are needed.

    Args:
        name: of the set.
        usable: rows that can be used.
        given: rows that there are.
        least: rows that are needed; of those that are trained on as many as make a batch.
        left_out: rows that cannot be used, by the reason.
        what: rows are, such as `pairs`.

    Example:
        >>> require_enough("train", 7, 9, 8, {}, "pairs")
        Traceback (most recent call last):
        ...
        fac_datasets.errors.DownstreamError: train has 7 pairs to use of 9, and at least 8 are needed; left out: none
    """
    if usable < least:
        raise DownstreamError(
            f"{name} has {usable} {what} to use of {given}, and at least {least} are needed; left out: "
            f"{counts_in_words(Counter(left_out)) or 'none'}"
        )


def states_of(
    backbone: str,
    method: str,
    *,
    layer: int | None,
    pooling: str,
    max_length: int,
    device: str | None,
    out: Path,
    states: str | Path | None,
) -> HiddenStates:
    """The hidden states that a task's head reads.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id.
        method: `"head"`, or `"lora"`, whose classifier reads the last token behind all layers, whatever is named.
        layer: decoder blocks before them; None for all.
        pooling: `"last"` or `"mean"`.
        max_length: tokens of a row.
        device: torch device; None for CUDA where there is one.
        out: folder of the run.
        states: folder that keeps them; None for one in `out`.

    Raises:
        OptionError: an option has no meaning.
    """
    require_method(method)
    is_head = method == "head"
    return HiddenStates(
        backbone,
        layer=layer if is_head else None,
        pooling=pooling if is_head else "last",
        max_length=max_length,
        device=device,
        cache=Path(states) if states else out / STATES,
    )


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
                # The trainers of trl exchange time for memory unless told otherwise.
                **({} if kind is transformers.TrainingArguments else {"gradient_checkpointing": False}),
                "report_to": "none",
                "save_strategy": "no",
                "logging_strategy": "no",
                "disable_tqdm": are_progress_bars_disabled(),
                "remove_unused_columns": False,
                "dataloader_num_workers": 0,
                **others,
            },
        )


def sequence_classifier(states: HiddenStates, n_labels: int) -> tuple[Any, Any]:
    """A backbone with a new head on its last token, and the tokenizer that pads for it on the right.

    Args:
        states: of the backbone.
        n_labels: numbers that the head gives.
    """
    from functools import partial
    from types import SimpleNamespace

    from transformers import AutoModelForSequenceClassification

    tokenizer = states.tokenizer
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.pad_token or tokenizer.eos_token, "right"
    if tokenizer.pad_token is None:
        raise BackboneError(f"the tokenizer of {states.info.name} has neither a padding nor an end token; set one")
    load = partial(AutoModelForSequenceClassification.from_pretrained, num_labels=n_labels)
    model = load_model(SimpleNamespace(from_pretrained=load), states.info.path, states.dtype)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def run(trainer: Any) -> None:
    """Train, with a progress bar where they are wanted, and without printing what a trainer logs.

    Args:
        trainer: of transformers or trl.
    """
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    class Bar(ProgressCallback):
        """The bar alone."""

        def on_log(self, *_: Any, **__: Any) -> None:
            """Print nothing."""

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(Bar)
    trainer.train()


def logits_of(trainer: Any, tokens: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """What a trained sequence classifier gives of rows, float64 [n_rows, n_labels].

    Args:
        trainer: of transformers or trl, which holds the classifier and its tokenizer.
        tokens: of each row, [n_tokens].
    """
    import datasets
    import transformers

    trained = transformers.Trainer(
        model=trainer.model,
        args=trainer.args,
        data_collator=transformers.DataCollatorWithPadding(trainer.processing_class),
    )
    rows = datasets.Dataset.from_dict({"input_ids": tokens})
    found: Any = trained.predict(rows).predictions
    return np.asarray(found, dtype=np.float64)
