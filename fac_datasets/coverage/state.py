"""Coverage as mergeable state, so that shards, processes and machines combine exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import flatten
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, ThresholdBelowStored
from fac_datasets.feature_space import FeatureSpace, format_threshold, require_same_space
from fac_datasets.files.atomic import write_atomically
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
        ValueError: the thresholds have another shape.
        ThresholdBelowStored: one lies below the cut-off of the space.

    Example:
        >>> state = FeatureCoverage(4, "m@%016x/layer1/raw/s@%016x/sae/max/>0/cut512" % (1, 2), 0.5)
        >>> state.update({"feature_ids": [[0, 2]], "feature_activations": [[0.4, 3.0]]}).covered
        array([2])
    """

    def __init__(self, d_sae: int, feature_space: str | FeatureSpace, thresholds: ArrayLike) -> None:
        self.d_sae = d_sae
        self.feature_space = str(feature_space)
        given = np.asarray(thresholds, dtype=np.float32)
        if given.shape not in ((), (d_sae,)):
            raise ValueError(f"thresholds have shape {given.shape}; expected one number or [d_sae={d_sae}]")
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

        Raises:
            FeatureSpaceMismatch: a row is of another space.
            ColumnError: an id is not in [0, d_sae).
        """
        space = FeatureSpace.parse(self.feature_space)
        for other in set(_plain(_column(batch, f"{prefix}feature_space", default=[]))):
            require_same_space(space, FeatureSpace.parse(other))
        lengths, ids = flatten(_column(batch, f"{prefix}feature_ids"), np.int64)
        _, values = flatten(_column(batch, f"{prefix}feature_activations"), np.float32)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.d_sae:
            raise ColumnError(f"feature ids run from {ids.min()} to {ids.max()}; expected [0, d_sae={self.d_sae})")
        # Maxima are idempotent and counts are not: a row that is added twice changes the counts alone.
        np.maximum.at(self.maxima, ids, values)
        # compress takes half the time of a mask as index.
        active = ids.compress(values > self.thresholds[ids])
        self.counts += np.bincount(active, minlength=self.d_sae)
        self.n_rows += len(lengths)
        self.n_tokens += int(sum(_plain(_column(batch, f"{prefix}feature_tokens", default=[]))))
        return self

    def merge(self, other: FeatureCoverage) -> FeatureCoverage:
        """The state of both sets of rows together, as a new object; `add` does it in place.

        Raises:
            FeatureSpaceMismatch: the spaces, sizes or thresholds differ.
        """
        return FeatureCoverage.from_bytes(self.to_bytes()).add(other)

    def add(self, other: FeatureCoverage) -> FeatureCoverage:
        """Take another state in, in place; see `merge`."""
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


def _column(batch: Any, name: str, default: Any = None) -> Any:
    names = getattr(batch, "column_names", None) or list(batch)
    if name not in names:
        if default is None:
            raise ColumnError(f"there is no column {name!r} among {names}")
        return default
    return batch[name]


def _plain(column: Any) -> Any:
    return column.to_pylist() if hasattr(column, "to_pylist") else column
