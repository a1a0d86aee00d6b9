"""What trains a seed trains the augmented dataset unchanged: each kind, with a tiny model and common trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers

from fac_datasets import augment
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.provenance import PROVENANCE, synthetic_features, synthetic_row
from fac_datasets.synthesis.samples import Sample
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, PAIRS, QUESTIONS, TEXTS

pytestmark = pytest.mark.slow

ANSWERS = {
    "text": "Plums are blue.",
    "labelled-text": "Plums are blue.",
    "instruction": "Prompt: Which is blue?\nResponse: A plum is.",
    "preference": "Prompt: Which is blue?\nBetter answer: A plum is.\nWorse answer: Nothing.",
    "ab-question": "Question: Which?\n (A) A plum\n (B) A fig\nMatching answer: (A)\nOther answer: (B)",
}


def train_split(seed: datasets.Dataset, column: str | None = None) -> datasets.Dataset:
    """The split `train` of a seed with a row that a generator answered."""
    kind = recognise(seed, column=column)
    like = kind.sample_of(seed[0])
    found = kind.read(ANSWERS[kind.name], True, like)
    assert isinstance(found, Sample)
    provenance = {name: 0 if name != "target_name" else "" for name in PROVENANCE}
    texts = ("synthetic_id", "target_part", "method", "generator", "prompt_digest", "feature_space")
    row = synthetic_row(kind.cells(found), {**provenance, **dict.fromkeys(texts, "0")})
    synthetic = datasets.Dataset.from_list([row], features=synthetic_features(kind.features))
    train: datasets.Dataset = augment(seed, synthetic).dataset["train"]
    assert len(train) == len(seed) + 1
    return train


def options(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "max_steps": 3,
        "per_device_train_batch_size": 2,
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def asked_and_said(row: dict[str, Any]) -> str:
    """What people write for columns that trl does not know."""
    asked = row.get("instruction") or row.get("question") or row.get("prompt")
    return f"{asked}\n{row.get('output') or row.get('answer') or row.get('response')}"


@pytest.mark.parametrize(
    ("name", "formatting"),
    [
        ("alpaca", asked_and_said),
        ("alpaca with its text", None),
        ("prompt and completion", None),
        ("prompt and completion as chats", None),
        ("question and answer", asked_and_said),
        ("openorca", asked_and_said),
        ("messages", None),
        ("messages with a system prompt", None),
        ("messages with other keys", None),
        ("sharegpt", None),
    ],
)
def test_instructions_train_with_sft_trainer(
    name: str, formatting: Callable[[dict[str, Any]], str] | None, tiny_backbone: str, tmp_path: Path
) -> None:
    trl = pytest.importorskip("trl")
    seed = INSTRUCTIONS[name]
    trainer = trl.SFTTrainer(
        model=tiny_backbone,
        args=trl.SFTConfig(**options(tmp_path), max_length=64, bf16=False),
        train_dataset=train_split(seed),
        formatting_func=formatting,
        processing_class=transformers.AutoTokenizer.from_pretrained(tiny_backbone),
    )
    told = [trainer.processing_class.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert any("A plum is." in text for text in told)
    assert trainer.train().training_loss > 0


def test_prompts_and_responses_train_under_the_names_that_trl_reads(tiny_backbone: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    trainer = trl.SFTTrainer(
        model=tiny_backbone,
        args=trl.SFTConfig(**options(tmp_path), max_length=64, bf16=False),
        train_dataset=train_split(INSTRUCTIONS["prompt and response"]).rename_column("response", "completion"),
        processing_class=transformers.AutoTokenizer.from_pretrained(tiny_backbone),
    )
    assert trainer.train().training_loss > 0


def test_texts_train_with_sft_trainer(tiny_backbone: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    trainer = trl.SFTTrainer(
        model=tiny_backbone,
        args=trl.SFTConfig(**options(tmp_path), max_length=64, bf16=False),
        train_dataset=train_split(TEXTS["text"]),
        processing_class=transformers.AutoTokenizer.from_pretrained(tiny_backbone),
    )
    assert trainer.train().training_loss > 0


@pytest.mark.parametrize(
    "name",
    ["with a prompt", "with a prompt of a chat", "whole chats", "transcripts", "transcripts behind their prompt"],
)
def test_pairs_train_with_reward_trainer(name: str, tiny_backbone: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_backbone, num_labels=1)
    trainer = trl.RewardTrainer(
        model=model,
        args=trl.RewardConfig(**options(tmp_path), max_length=128, bf16=False),
        train_dataset=train_split(PAIRS[name], "chosen"),
        processing_class=transformers.AutoTokenizer.from_pretrained(tiny_backbone),
    )
    assert len(trainer.train_dataset) == len(PAIRS[name]) + 1
    assert trainer.train().training_loss > 0


@pytest.mark.parametrize("name", ["class label", "0 and 1", "small integers", "boolean"])
def test_labels_train_with_a_sequence_classifier(name: str, tiny_backbone: str, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_backbone)
    train = train_split(LABELLED[name])
    text = "prompt" if "prompt" in train.column_names else "text"
    rows = train.map(lambda batch: tokenizer(batch[text], truncation=True, max_length=32), batched=True)
    if name == "boolean":
        # For transformers booleans are several labels at a time, in seeds too.
        rows = rows.cast_column("label", datasets.Value("int64"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny_backbone, num_labels=len({*train["label"]}), pad_token_id=tokenizer.pad_token_id
    )
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**options(tmp_path)),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    assert trainer.train().training_loss > 0


def test_questions_steer_as_they_are() -> None:
    for row in train_split(QUESTIONS["letters"]):
        for side in ("answer_matching_behavior", "answer_not_matching_behavior"):
            assert f"\n{row[side]} " in row["question"]
