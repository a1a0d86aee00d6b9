"""What the modules under `metrics/` share: they are loaded one by one, so all they need comes from this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
import evaluate

from fac_datasets.diversity.ngrams import require_texts
from fac_datasets.errors import DatasetError, RowError

TEXTS = datasets.Features({"predictions": datasets.Value("string")})
CHATS = datasets.Features(
    {"predictions": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})}
)
IDS = datasets.Features({"predictions": datasets.List(datasets.Value("int64"))})
VECTORS = datasets.Features({"predictions": datasets.List(datasets.Value("float32"))})


class DatasetMetric(evaluate.Metric):  # type: ignore[misc]
    """A metric of a whole dataset; `references` may have another number of rows, or are not used."""

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> Any:
        """Compute the metric of the rows given here and added before."""
        if predictions is not None and not len(predictions):
            raise DatasetError(f"predictions have no rows; {self.name} needs at least one")
        return super().compute(predictions=predictions, references=references, **options)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **inputs: Any) -> None:
        """Add rows."""
        if predictions is None:
            raise DatasetError("there are no predictions to add; give a list of rows")
        super().add_batch(predictions=self._checked(predictions), references=references, **inputs)

    def add(self, *, prediction: Any = None, reference: Any = None, **inputs: Any) -> None:
        """Add a row."""
        (row,) = self._checked([prediction])
        super().add(prediction=row, reference=reference, **inputs)

    def _checked(self, rows: Any) -> Any:
        """Rows of one kind; evaluate would make a text of anything and knows messages only by its two keys."""
        if self.features == TEXTS or isinstance(rows, str) or any(isinstance(row, str) for row in rows):
            return require_texts(rows)
        for number, row in enumerate(rows):
            if not hasattr(row, "__len__"):
                raise RowError(number, f"holds {type(row).__name__}; expected a text or a list")
        if any(len(row) and isinstance(row[0], Mapping) for row in rows):
            return [[{key: message.get(key) for key in ("role", "content")} for message in row] for row in rows]
        return rows

    def _finalize(self) -> None:
        super()._finalize()
        if self.process_id == 0:
            # Vectors are read as one array, texts as a list.
            vectors = self.selected_feature_format == VECTORS
            self.info.format = "numpy" if vectors else None
