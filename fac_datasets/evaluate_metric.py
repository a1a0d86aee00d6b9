"""What the modules under `metrics/` share: they are loaded one by one, so all they need comes from this package."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from fac_datasets.errors import ColumnError, DatasetError
from fac_datasets.ngrams import require_texts

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
        """Add rows; evaluate itself would turn what is no text into one."""
        if isinstance(predictions, str):
            raise ColumnError("predictions are one text; give a list of rows")
        if self.features == TEXTS or any(isinstance(row, str) for row in predictions):
            require_texts(predictions)
        super().add_batch(predictions=predictions, references=references, **inputs)

    def add(self, *, prediction: Any = None, reference: Any = None, **inputs: Any) -> None:
        """Add a row."""
        if self.features == TEXTS:
            require_texts([prediction])
        super().add(prediction=prediction, reference=reference, **inputs)

    def _finalize(self) -> None:
        super()._finalize()
        if self.process_id == 0:
            # Vectors are read as one array, texts as a list.
            vectors = self.selected_feature_format == VECTORS
            self.info.format = "numpy" if vectors else None
