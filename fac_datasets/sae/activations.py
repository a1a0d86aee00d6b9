"""Residual vectors to train on: rows from several datasets, mixed, through the backbone, chunk by chunk.

A chunk is the shuffling buffer of training: it is filled, shuffled, trained on and dropped. So nothing is in flight
between two chunks, and a position in the rows is all that a resumed run needs.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import datasets
import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from torch import Tensor

from fac_datasets.backbone.model import Backbone
from fac_datasets.backbone.windows import Window
from fac_datasets.errors import OptionError, OutputError, TrainingError
from fac_datasets.files.sealed_tensors import load_sealed, save_sealed
from fac_datasets.rows.dataset_identity import identify
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

Texts: TypeAlias = datasets.Dataset | datasets.IterableDataset
"""A dataset of texts or chats, in memory or streamed."""

OUTLIER = 5.0
"""Residual vectors with more than this many times the median norm are attention sinks and are dropped."""

_ROWS = 64
"""Rows that are read and tokenized together."""

_BATCH_TOKENS = 4096
"""Tokens of a padded batch."""

_BARREN_ROWS = 10_000
"""Rows without any token of their own after which a stream counts as empty."""


def of_usual_norm(vectors: Tensor) -> Tensor:
    """Whether each vector is no attention sink, [n_tokens], by its norm among those given."""
    norms = vectors.float().norm(dim=-1)
    usual: Tensor = norms <= OUTLIER * norms.median()
    return usual


class _Source:
    """The rows of one dataset, over and over; each pass has an order of its own where the dataset has a length."""

    def __init__(self, texts: Texts, column: ColumnChoice, seed: int) -> None:
        self.texts, self.seed = texts, seed
        self.reader = RowReader(_features(texts), column)
        self.length = len(texts) if isinstance(texts, datasets.Dataset) else None
        if self.length == 0:
            raise TrainingError("the dataset has no rows to train on")
        self.position: dict[str, Any] = {"turn": 0, "row": 0, "stream": None}
        self._order: NDArray[np.int64] | None = None
        self._iterator: Iterator[Any] | None = None
        self._stream: Any = None

    def take(self, count: int) -> list[tuple[Row, int]]:
        """The next rows, each with a number that decides how it is rendered."""
        return self._take_picked(count) if self.length is not None else self._take_streamed(count)

    def _take_picked(self, count: int) -> list[tuple[Row, int]]:
        assert self.length is not None
        taken: list[tuple[Row, int]] = []
        while len(taken) < count:
            turn, row = self.position["turn"], self.position["row"]
            if self._order is None:
                self._order = np.random.default_rng([self.seed, turn]).permutation(self.length)
            picked = self._order[row : row + count - len(taken)]
            taken += zip(self.reader.read(self.texts[picked]), (picked + turn).tolist(), strict=True)
            self.position["row"] += len(picked)
            if self.position["row"] == self.length:
                self.position.update(turn=turn + 1, row=0)
                self._order = None
        return taken

    def _take_streamed(self, count: int) -> list[tuple[Row, int]]:
        taken: list[tuple[Row, int]] = []
        while len(taken) < count:
            if self._iterator is None:
                # A copy, since a state that was loaded once stays with the object.
                self._stream = copy.deepcopy(self.texts)
                self._stream.set_epoch(self.position["turn"])
                if self.position["stream"] is not None:
                    self._stream.load_state_dict(self.position["stream"])
                self._iterator = iter(self._stream)
            row = next(self._iterator, None)
            if row is None:
                if not self.position["row"]:
                    raise TrainingError("the stream has no rows to train on")
                self.position.update(turn=self.position["turn"] + 1, row=0, stream=None)
                self._iterator = None
                continue
            (content,) = self.reader.read({name: [row[name]] for name in self.reader.columns})
            taken.append((content, self.position["row"] + self.position["turn"]))
            self.position["row"] += 1
        if self._iterator is not None:
            self.position["stream"] = self._stream.state_dict()
        return taken

    def go_to(self, position: Mapping[str, Any]) -> None:
        self.position = dict(position)
        self._order = self._iterator = None


def _features(texts: Texts) -> Any:
    if texts.features is not None:
        return texts.features
    first = next(iter(texts), None)
    if first is None:
        raise TrainingError("the stream has no rows to train on")
    return list(first)


class Rows:
    """Rows of several datasets, mixed at random by weight, with a position that can be saved.

    Args:
        texts: datasets of texts or chats.
        weights: share of the rows that each gives; by default by their numbers of rows, or equal for streams.
        column: the column that holds the texts; by default the one known name that is present.
        renders: how texts are rendered; several take turns.
        seed: of every order.

    Raises:
        OptionError: weights that are no shares of these datasets.
        TrainingError: a dataset without rows.
    """

    def __init__(
        self,
        texts: Sequence[Texts],
        *,
        weights: Sequence[float] | None,
        column: ColumnChoice,
        renders: Sequence[str],
        seed: int,
    ) -> None:
        if not texts:
            raise TrainingError("no dataset to train on")
        if weights is None:
            counted = all(isinstance(source, datasets.Dataset) for source in texts)
            weights = [len(source) if counted else 1 for source in texts]
        if not any(weights):
            raise TrainingError("the datasets have no rows to train on")
        shares = np.asarray(weights, dtype=np.float64)
        if len(shares) != len(texts) or not (shares > 0).all() or not np.isfinite(shares).all():
            raise OptionError(
                f"weights={shares.tolist()} are not one positive number for each of the {len(texts)} datasets"
            )
        self.shares = shares / shares.sum()
        self.sources = [_Source(source, column, seed) for source in texts]
        self.column, self.renders, self.seed = column, tuple(renders), seed
        self.drawn = 0

    def share(self, rank: int, n_processes: int) -> Rows:
        """The part of the rows that one of several processes reads."""
        texts = [split_dataset_by_node(source.texts, rank, n_processes) for source in self.sources]
        return Rows(
            texts, weights=self.shares.tolist(), column=self.column, renders=self.renders, seed=self.seed + rank
        )

    def take(self, count: int) -> list[tuple[Row, str]]:
        """The next rows with their render; a chat is always rendered as such."""
        picks = np.random.default_rng([self.seed, 1, self.drawn]).choice(len(self.sources), count, p=self.shares)
        self.drawn += count
        rows: list[tuple[Row, str]] = []
        for index, source in enumerate(self.sources):
            for content, number in source.take(int((picks == index).sum())):
                render = "chat" if isinstance(content, list) else self.renders[number % len(self.renders)]
                rows.append((content, render))
        return rows

    @property
    def position(self) -> dict[str, Any]:
        """Where the next row comes from; JSON."""
        return {"drawn": self.drawn, "sources": [dict(source.position) for source in self.sources]}

    def go_to(self, position: Mapping[str, Any]) -> None:
        """Continue from a saved position."""
        self.drawn = position["drawn"]
        for source, place in zip(self.sources, position["sources"], strict=True):
            source.go_to(place)

    def identity(self) -> list[dict[str, Any]]:
        """What the datasets are, with their shares; a stream is told by its name and its first rows."""
        return [
            {**_identity(source.texts, source.reader.columns), "share": round(float(share), 6)}
            for source, share in zip(self.sources, self.shares, strict=True)
        ]


def _identity(texts: Texts, columns: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(texts, datasets.Dataset):
        return {**identify(texts.select_columns(list(columns)))._asdict(), "columns": list(columns)}
    info = texts.info
    return {
        "id": info.dataset_name or info.builder_name or "stream",
        "revision": str(info.version or ""),
        "split": str(texts.split or ""),
        "columns": list(columns),
        "first_rows": _first_rows(texts, columns),
    }


def _first_rows(stream: datasets.IterableDataset, columns: tuple[str, ...]) -> str:
    """First 16 hex digits of the sha256 over what a stream begins with: files of one kind have one name."""
    digest = hashlib.sha256()
    for row in stream.take(_ROWS):
        digest.update(json.dumps([row[name] for name in columns], default=str).encode())
    return digest.hexdigest()[:16]


class Chunk(NamedTuple):
    """Residual vectors of some rows' own tokens."""

    vectors: Tensor
    """[n_tokens, d_model] in the backbone's dtype, in the order of the rows."""
    outliers: int
    """Vectors that were dropped as attention sinks."""


class ChunkCache(NamedTuple):
    """Where chunks are kept, and what decides them."""

    folder: Path
    key: str
    """Digest of backbone, texts, seed and whatever else a chunk depends on; a chunk of another key is not used."""


class ResidualStream:
    """Chunks of residual vectors, computed by a backbone or read from a cache on disk.

    Args:
        backbone: cut behind the layer that is read.
        rows: the text.
        max_length: tokens in a window.
        truncate: cut longer rows instead of reading them in several windows.
        cache: keeps each chunk, so that several SAEs or passes share one pass through the backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        rows: Rows,
        *,
        max_length: int,
        truncate: bool,
        cache: ChunkCache | None = None,
    ) -> None:
        self.backbone, self.rows = backbone, rows
        self.max_length, self.truncate = max_length, truncate
        self.cache = cache

    def chunk(self, number: int, at_least: int) -> Chunk:
        """The chunk of that number; `rows` must stand behind the one before, and stands behind this one afterwards.

        Args:
            number: counted from 0 in each pass over the rows.
            at_least: vectors wanted; a few more may come.

        Raises:
            TrainingError: the cache holds a chunk of that number that is of something else, or the rows hold no tokens.
        """
        if self.cache is None:
            return self._compute(at_least)
        path = self.cache.folder / f"chunk-{number:05d}.safetensors"
        decisive = {"key": self.cache.key, "before": json.dumps(self.rows.position)}
        kept = self._kept(path, decisive)
        # The last chunk of a shorter run holds too few.
        if kept is not None and len(kept[0].vectors) >= at_least:
            chunk, after = kept
            self.rows.go_to(after)
            return chunk
        chunk = self._compute(at_least)
        metadata = {**decisive, "after": json.dumps(self.rows.position), "outliers": str(chunk.outliers)}
        save_sealed(path, {"vectors": chunk.vectors}, metadata)
        return chunk

    def _kept(self, path: Path, decisive: Mapping[str, str]) -> tuple[Chunk, dict[str, Any]] | None:
        """A chunk of the cache, and where the rows stand behind it; None where there is none that is whole."""
        if not path.exists():
            return None
        try:
            tensors, metadata = load_sealed(path)
        except OutputError as error:
            warnings.warn(f"{error}; this chunk of the cache is made again", stacklevel=3)
            return None
        if any(metadata.get(name) != value for name, value in decisive.items()):
            raise TrainingError(f"{path} is of other texts, settings or another backbone; use another cache folder")
        vectors = tensors["vectors"].to(self.backbone.device)
        return Chunk(vectors, int(metadata["outliers"])), json.loads(metadata["after"])

    def _compute(self, at_least: int) -> Chunk:
        kept: list[Tensor] = []
        n_kept, outliers, barren = 0, 0, 0
        while n_kept < at_least:
            windows = self._windows(self.rows.take(_ROWS))
            barren = 0 if windows else barren + _ROWS
            if barren >= _BARREN_ROWS:
                raise TrainingError(f"the last {barren} rows hold no tokens to train on")
            for batch in self.backbone.batches(windows, _BATCH_TOKENS):
                vectors = self.backbone.own_vectors(batch)
                kept.append(vectors[of_usual_norm(vectors)])
                n_kept += len(kept[-1])
                outliers += len(vectors) - len(kept[-1])
        # Cloned, since tensors made in inference mode cannot be trained on.
        return Chunk(torch.cat(kept).clone(), outliers)

    def _windows(self, rows: Sequence[tuple[Row, str]]) -> list[Window]:
        windows: list[Window] = []
        for render in sorted({render for _, render in rows}):
            contents = [content for content, wanted in rows if wanted == render]
            windows += self.backbone.windows(
                contents, render=render, max_length=self.max_length, truncate=self.truncate
            )
        return windows
