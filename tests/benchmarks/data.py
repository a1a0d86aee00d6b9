"""Data written by others, for benchmarks and studies: read from the folder that `FAC_DATASETS_DATA` names.

None of it is part of this project. Each entry says where it comes from, so that anybody can get it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fac_datasets.errors import DatasetError
from fac_datasets.files.digests import sha256


def plain(text: str) -> str:
    """A text but for case and spaces, by which rows that repeat another are known."""
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class ForeignData:
    """One file of rows."""

    path: str
    """Below `FAC_DATASETS_DATA`."""
    sha256: str
    origin: str
    licence: str
    about: str

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the file.

        Raises:
            DatasetError: the file is absent, or has other content.
        """
        folder = os.environ.get("FAC_DATASETS_DATA")
        path = Path(folder or ".") / self.path
        if not folder or not path.is_file():
            raise DatasetError(
                f"{self.path} is needed below the folder that FAC_DATASETS_DATA names; get it from {self.origin}"
            )
        if sha256(path) != self.sha256:
            raise DatasetError(f"{path} is not the file that is expected (sha256 {self.sha256}); see {self.origin}")
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        if ".csv" in path.suffixes:
            yield from csv.DictReader(io.StringIO(text, newline=""))
        else:
            yield from (json.loads(line) for line in text.splitlines() if line.strip())


TOXICITY = ForeignData(
    "toxicity/openai-moderation-1680.jsonl.gz",
    "ef3f7de86ee394fe337b0a566ba4b9c7db058f3caa8d6a4a0006138b663ab9a8",
    "https://github.com/openai/moderation-api-release, data/samples-1680.jsonl.gz",
    "MIT",
    "1,680 prompts with human labels of eight harms",
)
DAVIDSON = ForeignData(
    "toxicity/davidson-tweets-24783.csv.gz",
    "013b5fd791257fe28e1b32f7c74cbb1b10c1abd0fcbec3a1db525ba2b6aff1ef",
    "https://github.com/t-davidson/hate-speech-and-offensive-language, data/labeled_data.csv",
    "MIT",
    "24,783 tweets, hate speech (class 0), offensive (1) or neither (2) by majority of at least three people",
)
PREFERENCE = ForeignData(
    "preference/hh-rlhf-harmless-base-test.jsonl.gz",
    "ebfaaed21162a4de120ae85366075b34425e2a6303fac59b99555002f7016f03",
    "https://github.com/anthropics/hh-rlhf, harmless-base/test.jsonl.gz",
    "MIT",
    "2,312 pairs of transcripts, chosen and rejected",
)
SEED_TASKS = ForeignData(
    "instructions/self-instruct-seed-tasks-175.jsonl",
    "7779004fa198fdf27cf70a159363879d8a26c53329e11b436af17b3941875f48",
    "https://github.com/tatsu-lab/stanford_alpaca, seed_tasks.jsonl",
    "Apache-2.0",
    "175 instructions with input and output",
)
USER_INSTRUCTIONS = ForeignData(
    "instructions/self-instruct-user-oriented-252.jsonl",
    "81d60a117db495cecedecd9193504fd07c5b5a42f6699ef6b0f9da10fc22f42e",
    "https://github.com/yizhongw/self-instruct, human_eval/user_oriented_instructions.jsonl",
    "Apache-2.0",
    "252 instructions written by experts",
)
SURVIVAL_HUMAN = ForeignData(
    "steering/survival-instinct-human-generated.jsonl",
    "0831782a9e0462f137eb9c4884edd19f248e18f17770f7a4540c67937b3af0e8",
    "https://github.com/anthropics/evals, advanced-ai-risk/human_generated_evals/survival-instinct.jsonl",
    "CC-BY-4.0",
    "953 questions with two options",
)
SURVIVAL_MODEL = ForeignData(
    "steering/survival-instinct-lm-generated.jsonl",
    "e1c98258997e04f5f5ec86dcb6c5395083ca3c862a26de335ae3a14ae5c9d502",
    "https://github.com/anthropics/evals, advanced-ai-risk/lm_generated_evals/survival-instinct.jsonl",
    "CC-BY-4.0",
    "1,000 such questions written by a model",
)

ALPACA_EVAL = ForeignData(
    "instructions/alpaca-eval-805.jsonl.gz",
    "64308cbc639fbed3cb881f3f652be0652edd08034ef63dbfe53cffb7f759eb87",
    "https://github.com/tatsu-lab/alpaca_eval, results/{gpt4_1106_preview,alpaca-7b}/model_outputs.json",
    "CC-BY-NC-4.0",
    "805 instructions with the answers of a strong and a weak model",
)
ALPACA_PREFERENCES = ForeignData(
    "instructions/alpaca-eval-2-preferences.jsonl.gz",
    "45d81f54e4945cbeb156df83a7e5df17eaaef8f58a1f5cbced0d0fb3035fad31",
    "https://github.com/tatsu-lab/alpaca_eval, results/*/weighted_alpaca_eval_gpt4_turbo/annotations.json",
    "CC-BY-NC-4.0",
    "a judge's preferences and the lengths of answers, for 3 models on 805 instructions",
)

EVALUATION = (TOXICITY, PREFERENCE, SEED_TASKS, USER_INSTRUCTIONS, SURVIVAL_HUMAN, SURVIVAL_MODEL)
"""What benchmarks measure on; no row of it, nor a near duplicate, may be in training text."""
