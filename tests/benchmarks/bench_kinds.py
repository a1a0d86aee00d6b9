"""Run the pipeline on real data of each kind, with the local model and with a server, and train on what comes out.

FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.bench_kinds --out FOLDER [--kinds text,instruction] [--on local]

Takes minutes a run; each lands with its machine and is not repeated, so that several calls with the same folder fill
the record.
Rows of the sets that hold harmful text are never shown: only those of texts and instructions are kept.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import datasets
import typer

from fac_datasets import EndpointGenerator
from fac_datasets.backbone.bundled import write_embedded_gguf
from fac_datasets.generation.base import TextGenerator
from fac_datasets.pipeline import Settings, run
from fac_datasets.synthesis.sample_journal import SampleJournal
from tests.benchmarks.data import (
    PREFERENCE,
    SEED_TASKS,
    SURVIVAL_HUMAN,
    SURVIVAL_MODEL,
    TOXICITY,
    USER_INSTRUCTIONS,
    ForeignData,
)
from tests.benchmarks.record import landed, machine, write_result
from tests.servers.llama import serve
from tests.tiny import make_tiny_backbone

HARMS = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")

SHOWN = ("text", "instruction")
"""Kinds of which rows are kept in the record."""

KEPT_ROWS = 3


class Cut(NamedTuple):
    """A part of real data, small enough for minutes on one core."""

    seed: list[dict[str, Any]]
    anchor: list[dict[str, Any]]
    least: int
    """Accepted rows that are wanted."""
    column: str | None = None


def cuts() -> dict[str, Callable[[], Cut]]:
    """What is run, by kind."""
    return {
        "instruction": lambda: Cut(_alpaca(SEED_TASKS)[:50], _alpaca(USER_INSTRUCTIONS)[:140], 10),
        "text": lambda: Cut(_texts(SEED_TASKS)[:50], _texts(USER_INSTRUCTIONS)[:140], 10),
        "labelled-text": lambda: Cut(_labelled()[:50], _labelled()[50:190], 10),
        "preference": lambda: Cut(_pairs()[:60], _pairs()[60:180], 3, "chosen"),
        "ab-question": lambda: Cut(_short(SURVIVAL_MODEL)[:60], _short(SURVIVAL_HUMAN)[:140], 3),
    }


def _alpaca(data: ForeignData) -> list[dict[str, Any]]:
    rows = [
        {"id": row["id"], "instruction": row["instruction"], "input": one["input"], "output": one["output"]}
        for row in data.rows()
        for one in row["instances"][:1]
    ]
    return [row for row in rows if sum(map(len, row.values())) < 450]


def _texts(data: ForeignData) -> list[dict[str, Any]]:
    return [{"text": row["instruction"]} for row in data.rows() if len(row["instruction"]) < 250]


def _labelled() -> list[dict[str, Any]]:
    rows = [{"text": row["prompt"], "label": int(any(row.get(harm) == 1 for harm in HARMS))} for row in TOXICITY.rows()]
    return [row for row in rows if len(row["text"]) < 300]


def _pairs() -> list[dict[str, Any]]:
    """Pairs of one turn."""
    return [
        row
        for row in PREFERENCE.rows()
        if all(len(row[side]) < 450 and row[side].count("\n\nHuman:") == 1 for side in ("chosen", "rejected"))
    ]


def _short(data: ForeignData) -> list[dict[str, Any]]:
    return [row for row in data.rows() if len(row["question"]) < 300]


def _server(folder: Path) -> TextGenerator:
    """The embedded model behind llama.cpp's server on this machine."""
    address = serve(write_embedded_gguf(folder), "smollm2")
    return EndpointGenerator("smollm2", base_url=f"{address}/v1")


def trained(kind: str, train: datasets.Dataset, folder: Path) -> str:
    """Train a tiny model on a split as it is; what trained it."""
    import transformers

    trl: Any = importlib.import_module("trl")
    model = str(make_tiny_backbone(folder / "tiny"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    options: dict[str, Any] = {
        **{"output_dir": str(folder / "trained"), "max_steps": 3, "per_device_train_batch_size": 2},
        **{"report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True},
    }
    trainer: Any
    of_sequences = transformers.AutoModelForSequenceClassification
    common: dict[str, Any] = {"train_dataset": train, "processing_class": tokenizer}
    if kind == "ab-question":
        sides = ("answer_matching_behavior", "answer_not_matching_behavior")
        assert all(row[side].strip() in row["question"] for row in train for side in sides)
        return "read: each answer is among the choices of its question"
    if kind == "preference":
        scored = of_sequences.from_pretrained(model, num_labels=1)
        trainer = trl.RewardTrainer(scored, trl.RewardConfig(**options, max_length=256, bf16=False), **common)
    elif kind == "labelled-text":
        common["train_dataset"] = train.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
        classified = of_sequences.from_pretrained(model, num_labels=2, pad_token_id=tokenizer.pad_token_id)
        collator = transformers.DataCollatorWithPadding(tokenizer)
        arguments = transformers.TrainingArguments(**options)
        trainer = transformers.Trainer(classified, arguments, data_collator=collator, **common)
    else:
        asked = None if kind == "text" else lambda row: f"{row['instruction']}\n{row['output']}"
        arguments = trl.SFTConfig(**options, max_length=128, bf16=False)
        trainer = trl.SFTTrainer(model, arguments, formatting_func=asked, **common)
    assert trainer.train().training_loss > 0
    return type(trainer).__name__


def measured(kind: str, cut: Cut, where: str, folder: Path, max_features: int) -> dict[str, Any]:
    """One run, below a folder, and a training on its result."""
    generator = _server(folder / "gguf") if where == "endpoint" else None
    out = folder / f"{kind}-{where}"
    settings = Settings(column=cut.column, max_features=max_features, max_samples=cut.least + 2)
    seed, anchor = datasets.Dataset.from_list(cut.seed), datasets.Dataset.from_list(cut.anchor)
    started = time.monotonic()
    report = run(seed, anchor, out, settings, generator=generator)
    seconds = time.monotonic() - started
    rows = datasets.load_dataset(str(out), split="synthetic")
    with tempfile.TemporaryDirectory() as temporary:
        trainer = trained(kind, datasets.load_dataset(str(out), split="train"), Path(temporary))
    journal = SampleJournal(out / "journal" / "guided.jsonl", read_only=True)
    return {
        "accepted": len(rows),
        "tried": sum(journal.outcomes().values()),
        "outcomes": dict(journal.outcomes().most_common()),
        "decoded_tokens": journal.decoded_tokens(),
        "prompt_tokens": journal.prompt_tokens(),
        "seconds": round(seconds, 1),
        "features_aimed_at": len(report["targets"]["aimed_at"]),
        "features_covered": len(report["targets"]["covered"]),
        "trained_by": trainer,
        "rows": rows.select(range(min(KEPT_ROWS, len(rows)))).to_list() if kind in SHOWN else [],
        "machine": machine(),
    }


def main(
    out: Annotated[Path, typer.Option(help="Folder for the runs.")],
    kinds: Annotated[str, typer.Option(help="Joined by commas.")] = ",".join(cuts()),
    on: Annotated[str, typer.Option(help="local, endpoint, or both joined by a comma.")] = "local,endpoint",
    max_features: Annotated[int, typer.Option(help="Features aimed at in a run.")] = 20,
) -> None:
    """Run the kinds and write what came of them."""
    figures: dict[str, Any] = {}
    for name in kinds.split(","):
        cut = cuts()[name]()
        for where in on.split(","):
            found = figures.setdefault(name, {})[where] = landed(
                out / f"{name}-{where}.json", partial(measured, name, cut, where, out, max_features)
            )
            print(f"{name}, {where}: {found['accepted']} accepted of {found['tried']} tried: {found['outcomes']}")
            assert found["accepted"] >= cut.least, f"fewer than {cut.least} rows"
    print(write_result("kinds", {"kinds": figures}))


if __name__ == "__main__":
    typer.run(main)
