"""The demo's real conversations: those of the package `chatterbot-corpus` (BSD 3-Clause), fetched once, read as files.

The seed holds half the rows of six topics; the anchor holds rows of all topics, none of them in the seed.
"""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import yaml

from fac_datasets.files.pinned_packages import PinnedPackage, package_files

CORPUS = PinnedPackage("chatterbot-corpus", "1.3.3", "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154")


SEED_TOPICS = ("food", "history", "literature", "money", "movies", "sports")
"""Topics that the seed knows."""


ROWS_PER_TOPIC = 120
"""Larger topics give this many rows, drawn at random, so that none drowns the others."""


def conversations() -> datasets.Dataset:
    """All English conversations of the corpus: `text`, one turn a line, and `topic`; equal ones once."""
    rows: dict[str, str] = {}
    for name, content in package_files(CORPUS, "*/data/english/*.yml"):
        for turns in yaml.safe_load(content)["conversations"]:
            text = "\n".join(str(turn).strip() for turn in turns)
            rows.setdefault(text, Path(name).stem)
    return datasets.Dataset.from_dict({"text": list(rows), "topic": list(rows.values())})


def seed_and_anchor(seed: int = 0) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Rows of six topics, and rows of all topics without those."""
    everything = conversations()
    topics = np.array(everything["topic"])
    in_seed, in_anchor = [], []
    generator = np.random.default_rng(seed)
    for topic in sorted(set(topics)):
        rows = generator.permutation(np.flatnonzero(topics == topic))[:ROWS_PER_TOPIC]
        half = len(rows) // 2 if topic in SEED_TOPICS else 0
        in_seed += rows[:half].tolist()
        in_anchor += rows[half:].tolist()
    return everything.select(sorted(in_seed)), everything.select(sorted(in_anchor))
