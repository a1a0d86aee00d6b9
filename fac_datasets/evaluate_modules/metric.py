"""What the modules under `metrics/` share: they are loaded one by one, so all they need comes from this package."""

from __future__ import annotations

import atexit
import inspect
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fac_datasets.diversity.embeddings import unit_blocks
from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from fac_datasets.rows.inputs import chats_of, feature_ids_of, kind_of, numbers_of, rows_of, texts_of, vectors_of

TEXTS = datasets.Features({"predictions": datasets.Value("string")})
CHATS = datasets.Features(
    {"predictions": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})}
)
IDS = datasets.Features({"predictions": datasets.List(datasets.Value("int64"))})
VECTORS = datasets.Features({"predictions": datasets.List(datasets.Value("float32"))})
IDS_OR_VECTORS = datasets.Features({"predictions": datasets.List(datasets.Value("float64"))})
"""Lists of numbers of which an option decides what they are; whole numbers up to 2^53 keep their value."""

_COPIED_ROWS = 10_000


class DatasetMetric(evaluate.Metric):  # type: ignore[misc]
    """A metric of a whole dataset; `references` may have another number of rows, or are not used.

    Rows come in whatever holds a column (see `fac_datasets.rows.inputs`). Options are checked before rows are taken,
    and rows that were added stay where `compute` raises, so that it can be called again.
    """

    measure: ClassVar[Callable[..., dict[str, Any]]]
    """Takes the rows and the options; it checks its options before its rows."""

    _format: datasets.Features
    """Of the rows that are about to be added."""
    _width: int
    """Of the vectors that were added."""

    # evaluate's own, with the types that mypy cannot see.
    data: Any
    writer: Any
    buf_writer: Any
    file_paths: Any
    filelocks: Any
    selected_feature_format: Any

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> Any:
        """Compute the metric of the rows given here and added before.

        Raises:
            OptionError: an option is unknown or has no meaning.
            DatasetError: there are no rows.
            ColumnError: rows are no column, or of another kind than those added before.
        """
        self._require_options(options)
        added, format_of_added = len(self), self.selected_feature_format
        if predictions is not None:
            predictions = self._taken(rows_of(predictions, "predictions"))
        elif not added and self.num_process == 1:
            raise DatasetError(f"there are no rows; {self.name} needs at least one, as predictions or added before")
        try:
            # References are no declared input, because those must all have the same length.
            return super().compute(predictions=predictions, **options)
        except BaseException:
            self._put_back(added, format_of_added)
            raise

    def add_batch(self, *, predictions: Any = None, references: Any = None, **inputs: Any) -> None:
        """Add rows."""
        if predictions is None:
            raise DatasetError("there are no predictions to add; give a list of rows")
        rows = rows_of(predictions, "predictions")
        if len(rows):
            super().add_batch(predictions=self._taken_of_batch(rows), **inputs)

    def add(self, *, prediction: Any = None, reference: Any = None, **inputs: Any) -> None:
        """Add a row, which may be called `predictions` too, as in evaluate's other metrics."""
        row = inputs.pop("predictions", prediction)
        inputs.pop("references", None)
        (row,) = self._taken_of_batch([row])
        super().add(prediction=row, **inputs)

    def _compute(self, predictions: Any, **options: Any) -> dict[str, Any]:
        return type(self).measure(predictions, **options)

    def _require_options(self, options: dict[str, Any]) -> None:
        """Raise OptionError before any row is taken."""
        known = list(inspect.signature(type(self).measure).parameters)[1:]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise OptionError(f"{self.name} has no option {unknown[0]!r}; its options are {known}")
        # A measure checks its options first, so one of no rows complains about the rows where all options are right.
        with suppress(DatasetError):
            self._compute([], **options)

    def _taken_of_batch(self, rows: Any) -> Any:
        try:
            return self._taken(rows)
        except RowError as error:
            raise RowError(error.row, error.problem) from None

    def _taken(self, rows: Any) -> Any:
        """Rows as evaluate stores them, all of one kind."""
        if not len(rows):
            raise DatasetError(f"predictions have no rows; {self.name} needs at least one")
        self._format, rows = self._stored(rows)
        if self.writer is not None and self._format != self.selected_feature_format:
            raise ColumnError(
                f"these rows are kept as {self._format['predictions']}, those added before as "
                f"{self.selected_feature_format['predictions']}; add rows of one kind"
            )
        if self._format == VECTORS:
            if self.writer is not None and rows.shape[1] != self._width:
                raise RowError(
                    0, f"has an embedding of length {rows.shape[1]}, those added before one of {self._width}"
                )
            self._width = rows.shape[1]
        return rows

    def _stored(self, rows: Any) -> tuple[datasets.Features, Any]:
        """How rows are stored, and the rows."""
        formats = self.features if isinstance(self.features, list) else [self.features]
        kind = kind_of(rows)
        if kind == "chats" and CHATS in formats:
            return CHATS, chats_of(rows)
        if kind != "numbers" or formats == [TEXTS]:
            return TEXTS, texts_of(rows)
        if IDS in formats:
            lengths, ids = feature_ids_of(rows)
            return IDS, np.split(ids, lengths.cumsum()[:-1])
        if IDS_OR_VECTORS in formats:
            return IDS_OR_VECTORS, numbers_of(rows)
        return VECTORS, _in_single_precision(vectors_of(rows))

    def _infer_feature_from_batch(self, batch: Any) -> datasets.Features:
        return self._format

    def _infer_feature_from_example(self, example: Any) -> datasets.Features:
        return self._format

    def _put_back(self, added: int, format_of_added: datasets.Features | None) -> None:
        """Give evaluate the rows again that were added before a `compute` that failed, without those given to it."""
        if self.data is None or self.num_process > 1:
            return
        table = self.data.data.table
        files = list(zip(self.file_paths or (), self.filelocks or (), strict=True))
        self.data = self.buf_writer = self.file_paths = self.filelocks = None
        if added:
            self.selected_feature_format = format_of_added
            self._init_writer()
            for batch in table.slice(0, added).to_batches(max_chunksize=_COPIED_ROWS):
                self.writer.write_table(pa.Table.from_batches([batch]))
        for path, lock in files:
            Path(path).unlink()
            lock.release()

    def _finalize(self) -> None:
        super()._finalize()
        # The numpy format would make float32 of all numbers, and no format a Python object of each.
        self.info.format = "arrow"

    def _build_data_dir(self) -> str:
        try:
            return str(super()._build_data_dir())
        except OSError:
            # Processes that measure together share the folder, so it cannot be a new one for each.
            if self.num_process > 1:
                raise
            self._data_dir_root = _temporary_folder()
            return str(super()._build_data_dir())


@cache
def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="fac-datasets-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _in_single_precision(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors as they are stored; those without a direction are found here, not when all are measured."""
    with np.errstate(over="ignore", under="ignore"):
        single = vectors.astype(np.float32, copy=False)
    try:
        deque(unit_blocks(single), maxlen=0)
    except RowError as error:
        # Rows that have no direction in any precision keep their own error.
        deque(unit_blocks(vectors), maxlen=0)
        raise RowError(
            error.row,
            "has an embedding beyond float32, as which evaluate keeps vectors; scale it, or call the function of "
            "fac_datasets.diversity",
            of_batch=False,
        ) from None
    return single


def whole_numbers(rows: Any) -> Any:
    """Lists of feature ids that were stored as floats, as whole numbers where they are all whole."""
    return [row.astype(np.int64) if _are_whole(row) else row for row in map(np.asarray, rows_of(rows))]


def _are_whole(row: NDArray[np.float64]) -> bool:
    return bool(((row == np.floor(row)) & (np.abs(row) < 2**53)).all())
