"""Documents of datasets in one SQLite file, and what a search engine asks of them; needs nothing of Argilla."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_WORDS = re.compile(r"\w+")
_CLAUSES = re.compile(r'\s*([-|]?)\s*("[^"]*"|[^\s|]+)')


class Documents:
    """Documents by dataset and id, in the order in which they came; survives a restart and a kill."""

    def __init__(self, path: str | Path) -> None:
        self._database = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents"
            " (number INTEGER PRIMARY KEY, dataset TEXT, id TEXT, body TEXT, UNIQUE (dataset, id))"
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def put(self, dataset: str, documents: Iterable[Document]) -> None:
        """Add documents, or replace those of the same `id`."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT INTO documents (dataset, id, body) VALUES (?, ?, ?)"
            " ON CONFLICT (dataset, id) DO UPDATE SET body = excluded.body",
            [(dataset, document["id"], json.dumps(document)) for document in documents],
        )
        self._database.execute("COMMIT")

    def edit(self, dataset: str, id: str, change: Callable[[Document], None]) -> None:
        """Change one document in place.

        Raises:
            KeyError: there is no such document.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            found = self._database.execute(
                "SELECT body FROM documents WHERE dataset = ? AND id = ?", (dataset, id)
            ).fetchone()
            if found is None:
                raise KeyError(f"dataset {dataset} has no document {id}")
            document = json.loads(found[0])
            change(document)
            self._database.execute(
                "UPDATE documents SET body = ? WHERE dataset = ? AND id = ?", (json.dumps(document), dataset, id)
            )
        finally:
            self._database.execute("COMMIT")

    def remove(self, dataset: str, ids: Iterable[str] | None = None) -> None:
        """Remove some documents of a dataset, or all."""
        if ids is None:
            self._database.execute("DELETE FROM documents WHERE dataset = ?", (dataset,))
        else:
            self._database.executemany(
                "DELETE FROM documents WHERE dataset = ? AND id = ?", [(dataset, id) for id in ids]
            )

    def of(self, dataset: str) -> Iterator[Document]:
        """All documents of a dataset, oldest first."""
        rows = self._database.execute("SELECT body FROM documents WHERE dataset = ? ORDER BY number", (dataset,))
        for (body,) in rows.fetchall():
            yield json.loads(body)


def leaves(value: Any) -> list[Any]:
    """Every value in nested lists and mappings, but for None."""
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [] if value is None else [value]


def text_score(query: str, texts: Iterable[str]) -> int:
    """How often the words of a query occur; 0 where it does not match.

    All clauses must match one of the texts: words, `prefix*`, `"a phrase"`; `-` excludes, `|` separates alternatives.
    """
    words = [_WORDS.findall(text.lower()) for text in texts]
    alternatives: list[list[tuple[bool, int]]] = [[]]
    for sign, clause in _CLAUSES.findall(query):
        if sign == "|":
            alternatives.append([])
        alternatives[-1].append((sign == "-", _occurrences(clause.lower(), words)))
    return max(map(_clauses_score, alternatives))


def _clauses_score(clauses: list[tuple[bool, int]]) -> int:
    if not clauses or any(excluded == bool(count) for excluded, count in clauses):
        return 0
    return sum(count for excluded, count in clauses if not excluded) or 1


def _occurrences(clause: str, texts: list[list[str]]) -> int:
    wanted = _WORDS.findall(clause)
    if clause.endswith("*"):
        return sum(word.startswith(wanted[-1]) for words in texts for word in words)
    return sum(
        words[place : place + len(wanted)] == wanted for words in texts for place in range(len(words) - len(wanted) + 1)
    )


def within(value: Any, lowest: Any, highest: Any) -> bool:
    """Whether a number or a date lies in a closed interval, an end of which may be None."""
    return (lowest is None or value >= lowest) and (highest is None or value <= highest)


def sort_documents(
    documents: list[Document], key: Callable[[Document], list[Any]], *, descending: bool = False
) -> list[Document]:
    """Documents by the mean of their numbers, or by their first value; those without one last, ties as they came."""

    def value(found: list[Any]) -> Any:
        return sum(found) / len(found) if all(isinstance(each, int | float) for each in found) else min(found)

    having = [(found, document) for document in documents if (found := key(document))]
    having.sort(key=lambda pair: value(pair[0]), reverse=descending)
    return [document for _, document in having] + [document for document in documents if not key(document)]


def shuffled(documents: list[Document], seed: str) -> list[Document]:
    """Documents in an order that belongs to the seed."""
    return sorted(documents, key=lambda document: zlib.crc32(f"{seed}{document['id']}".encode()))


def term_counts(documents: Iterable[Document], key: Callable[[Document], list[Any]]) -> Counter[str]:
    """In how many documents each value occurs, the most frequent first."""
    counts = Counter(str(value) for document in documents for value in {*key(document)})
    return Counter(dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))


def similarity(vector: list[float], other: list[float]) -> float:
    """Cosine similarity, moved to [0, 1] as Elasticsearch does."""
    lengths = math.hypot(*vector) * math.hypot(*other)
    product = sum(a * b for a, b in zip(vector, other, strict=True))
    return (1 + (product / lengths if lengths else 0.0)) / 2
