"""Coverage as mergeable state, so that shards, processes and machines combine exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import column_names, row_features, spaces_of, tokens_of
from fac_datasets.errors import (
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    OptionError,
    ThresholdBelowStored,
)
from fac_datasets.feature_space import FeatureSpace, Threshold, format_threshold, require_same_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.one_dataset import is_stream
from fac_datasets.sae.calibration import thresholds_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray


class FeatureCoverage:
    """Mergeable coverage state: maxima and row counts of each feature, so shards and machines combine exactly.

    Args:
        d_sae: number of features.
        feature_space: of the rows it will see, as in the column.
        thresholds: one number, or one a feature, [d_sae].

    Raises:
        OptionError: the thresholds have another shape, or are no numbers.
        ThresholdBelowStored: one lies below the cut-off of the space.

    Example:
        >>> state = FeatureCoverage(4, "m@%016x/layer1/raw/s@%016x/sae/max/>0/cut512" % (1, 2), 0.5)
        >>> state.update({"feature_ids": [[0, 2]], "feature_activations": [[0.4, 3.0]]}).covered
        array([2])
    """

    def __init__(self, d_sae: int, feature_space: str | FeatureSpace, thresholds: ArrayLike) -> None:
        self.d_sae = d_sae
        self.feature_space = str(feature_space)
        try:
            given = np.asarray(thresholds, dtype=np.float32)
        except (TypeError, ValueError):
            given = np.asarray(np.nan)
        if np.isnan(given).any():
            raise OptionError(
                f"thresholds={thresholds!r} are no numbers; give one, or [d_sae={d_sae}] of them, as "
                f"FeatureExtractor.empty_coverage does for a quantile"
            )
        if given.shape not in ((), (d_sae,)):
            raise OptionError(f"thresholds have shape {given.shape}; expected one number or [d_sae={d_sae}]")
        self.thresholds: NDArray[np.float32] = np.broadcast_to(given, (d_sae,)).copy()
        space = FeatureSpace.parse(self.feature_space)
        if (self.thresholds < thresholds_of(space, space.threshold, d_sae)).any():
            raise ThresholdBelowStored(
                f"a threshold of {self.thresholds.min():.4g} lies below the cut-off "
                f"{format_threshold(space.threshold)} of the space; raise it, or extract with a lower one"
            )
        self.maxima: NDArray[np.float32] = np.full(d_sae, -np.inf, dtype=np.float32)
        self.counts: NDArray[np.int64] = np.zeros(d_sae, dtype=np.int64)
        self.n_rows = 0
        self.n_tokens = 0

    @property
    def covered(self) -> NDArray[np.int64]:
        """Ids of the features above threshold in at least one row, sorted."""
        return np.flatnonzero(self.counts)

    def update(self, batch: Mapping[str, Any] | pa.Table, prefix: str = "") -> FeatureCoverage:
        """Add rows with feature columns.

        Args:
            batch: columns by name: of Arrow, lists, or arrays.
            prefix: of the feature columns.

        Raises:
            FeatureSpaceMismatch: a row is of another space.
            ColumnError: there are no such columns, or an id is not in [0, d_sae).
            RowError: a row has no features, or damaged ones; the state is as it was.
            DatasetError: it is no batch but several splits or a stream.
        """
        if isinstance(batch, Mapping) or is_stream(batch):
            _require_batch(batch)
        _, ids, values = features = row_features(batch, prefix)
        space = FeatureSpace.parse(self.feature_space)
        names = column_names(batch)
        if f"{prefix}feature_space" in names:
            for other in spaces_of(batch, prefix):
                require_same_space(space, other)
        if len(ids) and ids.max() >= self.d_sae:
            raise ColumnError(f"feature ids run from {ids.min()} to {ids.max()}; expected [0, d_sae={self.d_sae})")
        tokens_name = f"{prefix}feature_tokens"
        n_tokens = int(tokens_of(batch[tokens_name], tokens_name).sum()) if tokens_name in names else 0
        # Maxima are idempotent and counts are not: a row that is added twice changes the counts alone.
        np.maximum.at(self.maxima, ids, values)
        # compress takes half the time of a mask as index.
        active = ids.compress(values > self.thresholds[ids])
        self.counts += np.bincount(active, minlength=self.d_sae)
        self.n_rows += len(features.lengths)
        self.n_tokens += n_tokens
        return self

    def merge(self, other: FeatureCoverage) -> FeatureCoverage:
        """The state of both sets of rows together, as a new object; `add` does it in place.

        Raises:
            FeatureSpaceMismatch: the spaces, sizes or thresholds differ.
            OptionError: the other is no FeatureCoverage.
        """
        return FeatureCoverage.from_bytes(self.to_bytes()).add(other)

    def add(self, other: FeatureCoverage) -> FeatureCoverage:
        """Take another state in, in place; see `merge`."""
        if not isinstance(other, FeatureCoverage):
            raise OptionError(f"a {type(other).__name__} is no FeatureCoverage; update takes rows, and merge states")
        require_same_space(FeatureSpace.parse(self.feature_space), FeatureSpace.parse(other.feature_space))
        if self.d_sae != other.d_sae or not np.array_equal(self.thresholds, other.thresholds):
            raise FeatureSpaceMismatch("coverage states with different thresholds cannot be merged")
        np.maximum(self.maxima, other.maxima, out=self.maxima)
        self.counts += other.counts
        self.n_rows += other.n_rows
        self.n_tokens += other.n_tokens
        return self

    def save(self, path: str | Path) -> None:
        """Write one safetensors file."""
        write_atomically(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {"thresholds": self.thresholds, "maxima": self.maxima, "counts": self.counts}
        # One entry, since safetensors writes several in an order that changes from run to run.
        facts = {"feature_space": self.feature_space, "n_rows": self.n_rows, "n_tokens": self.n_tokens}
        return bytes(save(tensors, {"coverage": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> FeatureCoverage:
        """Read a file written by `save`."""
        return cls.from_bytes(Path(path).read_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureCoverage:
        """Read what `to_bytes` wrote."""
        from safetensors.numpy import load

        tensors = load(content)
        # Tensors come without the file's metadata, which stands in its header.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"]["coverage"])
        # Not through __init__, which compares the thresholds with a calibration that this machine need not have.
        state = cls.__new__(cls)
        state.feature_space, state.thresholds = facts["feature_space"], tensors["thresholds"]
        state.maxima, state.counts = tensors["maxima"], tensors["counts"]
        state.d_sae = len(state.counts)
        state.n_rows, state.n_tokens = facts["n_rows"], facts["n_tokens"]
        return state


def require_thresholds(state: FeatureCoverage, threshold: Threshold, role: str) -> None:
    """Raise OptionError unless a state's rows were counted above this threshold.

    Args:
        state: of rows that were merged.
        threshold: a number, or a quantile.
        role: of the rows, for the error.
    """
    if not np.array_equal(
        state.thresholds, thresholds_of(FeatureSpace.parse(state.feature_space), threshold, state.d_sae)
    ):
        raise OptionError(
            f"the {role} is a merged state whose rows were counted above other thresholds than "
            f"{format_threshold(threshold)}; give the threshold that it was made with"
        )


def _require_batch(batch: Any) -> None:
    if is_stream(batch):
        raise DatasetError(
            "the batch is a stream; hand over its batches, such as those of stream.iter(batch_size=1000)"
        )
    if batch and all(hasattr(part, "column_names") for part in batch.values()):
        raise DatasetError(f"the batch holds the splits {[*batch]}; hand over the rows of one")
