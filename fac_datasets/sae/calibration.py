"""Calibration: what activations of each feature are usual, measured once on text and kept with the SAE.

It turns a threshold such as `"q90"` into one number a feature: the quantile of the feature's own positive token
activations. It is keyed by backbone, layer, render and activation, and is read without loading any weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from fac_datasets.errors import CalibrationMissing, DatasetError, SAEMismatch
from fac_datasets.feature_space import QUANTILES, FeatureSpace, Threshold, format_threshold, require_activation
from fac_datasets.files.atomic import cache_folder, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.backbone.model import Backbone
    from fac_datasets.backbone.windows import Window
    from fac_datasets.rows.row import Row
    from fac_datasets.sae.model import SparseAutoencoder

RARE = 10
"""A feature with fewer positive token activations than this takes the quantile pooled over all features."""

_EDGE, _SPAN, _BINS = 1e-3, 1e7, 512
"""Activations are counted in bins of equal ratio (3 %), this many for each factor `_SPAN`, with an edge at `_EDGE`.

They have no ends, for the scales of SAEs differ by orders of magnitude. Quantiles are interpolated within a bin.
"""

_LARGEST = 1e35
"""Activations above it are damage; much larger ones, divided by `_EDGE`, are infinite in float32."""

_GROWTH = 64
"""Bins that are added at a time."""


@dataclass(frozen=True)
class Calibration:
    """Quantiles and firing rates of an SAE's features on calibration text."""

    quantiles: NDArray[np.float32]
    """Of each feature's positive token activations, [len(QUANTILES), d_sae]."""
    firing_rates: NDArray[np.float32]
    """Share of tokens in which each feature is positive, [d_sae]."""
    sae_digest: str
    backbone_digest: str
    layer: int
    render: str
    activation: str
    n_tokens: int
    """Own tokens measured."""
    n_rare: int
    """Features that took the pooled quantile."""

    def fits(self, space: FeatureSpace) -> bool:
        """Whether this was measured in a space, whatever its cut-off."""
        return calibration_key(space) == calibration_key(self) and self.sae_digest == space.sae_digest

    def thresholds(self, threshold: Threshold) -> NDArray[np.float32]:
        """One threshold a feature, [d_sae]."""
        if isinstance(threshold, str):
            of_feature: NDArray[np.float32] = self.quantiles[QUANTILES.index(threshold)]
            return of_feature
        return np.full(self.quantiles.shape[1], threshold, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        metadata = {
            name: str(getattr(self, name))
            for name in (
                "sae_digest", "backbone_digest", "layer", "render", "activation", "n_tokens", "n_rare"
            )
        }  # fmt: skip
        tensors = {"quantiles": self.quantiles, "firing_rates": self.firing_rates}
        write_atomically(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a file written by `save`.

        Raises:
            CalibrationMissing: the file is damaged.
        """
        from safetensors import safe_open

        try:
            with safe_open(path, "numpy") as stream:
                metadata: dict[str, Any] = dict(stream.metadata())
                tensors = {name: stream.get_tensor(name) for name in ("quantiles", "firing_rates")}
            for name in ("layer", "n_tokens", "n_rare"):
                metadata[name] = int(metadata[name])
            d_sae = len(tensors["firing_rates"])
            shapes = {"quantiles": (len(QUANTILES), d_sae), "firing_rates": (d_sae,)}
            for name, shape in shapes.items():
                if tensors[name].shape != shape:
                    raise ValueError(f"{name} has the shape {tensors[name].shape}, not {shape}")
                if not (np.isfinite(tensors[name]) & (tensors[name] >= 0)).all():
                    raise ValueError(f"{name} holds values that are not finite or negative")
            return cls(**tensors, **metadata)
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise CalibrationMissing(
                f"{path} is damaged ({error}); write it anew with: fac-datasets sae calibrate"
            ) from error


def calibration_key(space: FeatureSpace | Calibration) -> str:
    """The name under which a calibration is stored."""
    return f"{space.backbone_digest}-layer{space.layer}-{space.render}-{space.activation}"


def find_calibration(space: FeatureSpace) -> Calibration:
    """The calibration of a feature space: the embedded SAE's, or one that an extractor or `calibrate_sae` registered.

    Raises:
        CalibrationMissing: there is none.
    """
    from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER

    file = f"{calibration_key(space)}.safetensors"
    for path in (EMBEDDED_SAE_FOLDER / "calibration" / file, cache_folder("calibrations") / space.sae_digest / file):
        if path.exists():
            calibration = Calibration.load(path)
            if calibration.fits(space):
                return calibration
    raise CalibrationMissing(
        f"SAE {space.sae} has no calibration for layer {space.layer}, render {space.render!r}, activation "
        f"{space.activation!r}; make one with: fac-datasets sae calibrate DATA --sae {space.sae}, or use a number as "
        f"threshold"
    )


def register_calibrations(sae_folder: Path, sae_digest: str) -> None:
    """Make the calibrations in an SAE's folder known by digest, so that coverage finds them later without the SAE."""
    for path in sorted((sae_folder / "calibration").glob("*.safetensors")):
        if Calibration.load(path).sae_digest == sae_digest:
            known = cache_folder("calibrations") / sae_digest / path.name
            content = path.read_bytes()
            if known.exists() and known.read_bytes() != content:
                warnings.warn(
                    f"the calibration {path.stem} of this SAE has changed: quantile thresholds, and every score "
                    f"measured with them, differ from before",
                    stacklevel=2,
                )
            if not known.exists() or known.read_bytes() != content:
                write_atomically(known, content)


def known_calibrations(sae_digest: str) -> list[Path]:
    """The files of the calibrations that are known of an SAE on this machine."""
    return sorted((cache_folder("calibrations") / sae_digest).glob("*.safetensors"))


def thresholds_of(space: FeatureSpace, threshold: Threshold, d_sae: int) -> NDArray[np.float32]:
    """One threshold a feature, [d_sae]; a number needs no calibration."""
    if isinstance(threshold, str):
        return find_calibration(space).thresholds(threshold)
    return np.full(d_sae, threshold, dtype=np.float32)


def calibrate_sae(
    backbone: Backbone,
    sae: str | Path,
    texts: Sequence[Row],
    *,
    render: str = "chat",
    activation: str = "sae",
    max_length: int = 512,
    other_backbone: bool = False,
) -> Calibration:
    """Measure the usual activations of each feature and store them in the SAE's folder.

    Args:
        backbone: cut behind the SAE's layer.
        sae: what `load_sae` reads.
        texts: calibration text; rare features need much of it.
        render: `"chat"` or `"raw"`.
        activation: `"sae"` or `"relu"`.
        max_length: tokens in a window.
        other_backbone: accept an SAE that was trained on another backbone of the same width, or does not say on which.

    Returns:
        The calibration. It is also written to `calibration/` in the SAE's folder (of an SAE on the Hub, to the cache),
        and known on this machine from then on.

    Raises:
        DatasetError: the texts hold no tokens.
        SAEMismatch: the SAE is of another backbone or layer, or does not say of which.

    Example:
        >>> backbone = Backbone("embedded", 15)
        >>> sae = train_sae(backbone, texts, TrainingConfig(d_sae=128, k=8, n_tokens=200), "my-sae")
        >>> calibrate_sae(backbone, "my-sae", texts["text"]).quantiles.shape
        (5, 128)
    """
    import datasets
    from tqdm.auto import tqdm

    from fac_datasets.backbone.identity import EMBEDDED
    from fac_datasets.sae.loading import find_sae
    from fac_datasets.sae.model import require_match

    require_activation(activation)
    found = find_sae(sae)
    require_match(found.config, backbone.info, backbone.layer, other_backbone=other_backbone)
    model = found.load().to(backbone.device)
    windows = backbone.windows(texts, render=render, max_length=max_length)
    if not windows:
        raise DatasetError(f"the {len(texts)} rows hold no tokens to calibrate on")
    histogram = ActivationHistogram(model.config.d_sae)
    n_tokens = 0
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=sum(int(w.own.sum()) for w in windows), unit="tok", desc="calibrate", disable=quiet) as bar:
        for ids, values, n in token_activations(backbone, model, windows, activation):
            histogram.update(ids, values)
            n_tokens += n
            bar.update(n)
    calibration = Calibration(
        quantiles=histogram.quantiles(),
        firing_rates=(histogram.totals() / n_tokens).astype(np.float32),
        sae_digest=found.digest,
        backbone_digest=backbone.info.digest,
        layer=backbone.layer,
        render=render,
        activation=activation,
        n_tokens=n_tokens,
        n_rare=int((histogram.totals() < RARE).sum()),
    )
    # What was fetched lies in a cache that is not ours to write to.
    local = str(sae) == EMBEDDED or Path(sae).exists()
    folder = found.folder if local else cache_folder("calibrated") / found.digest
    calibration.save(folder / "calibration" / f"{calibration_key(calibration)}.safetensors")
    register_calibrations(folder, calibration.sae_digest)
    return calibration


def token_activations(
    backbone: Backbone, sae: SparseAutoencoder, windows: Sequence[Window], activation: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
    """Ids and activations of the features that are positive in the own tokens of windows, and how many tokens."""
    for batch in backbone.batches(windows, 2048):
        vectors = backbone.own_vectors(batch).float()
        if activation == "sae":
            _, ids, values = (part.cpu().numpy() for part in sae.active_features(vectors))
        else:
            pre = sae.pre_activations(vectors).cpu().numpy()
            ids = (pre > 0).nonzero()[1]
            values = pre[pre > 0]
        yield ids, values, len(vectors)


class ActivationHistogram:
    """How often each feature has activations of each size.

    It holds the bins from the smallest to the largest activation seen: mostly some hundreds a feature, and never more
    than 6,000, which span float32.
    """

    def __init__(self, d_sae: int) -> None:
        self._counts: NDArray[np.int64] = np.zeros((d_sae, 0), dtype=np.int64)
        self._first = 0
        """Number of the first bin held."""

    def update(self, ids: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Count positive activations of features.

        Raises:
            SAEMismatch: an activation is not finite, or no usual one.
        """
        if not len(values):
            return
        damaged = ~(values <= _LARGEST)
        if damaged.any():
            raise SAEMismatch(
                f"feature {ids[damaged][0]} has the activation {values[damaged][0]}, and none may exceed {_LARGEST:g}; "
                f"check the SAE's weights, and that it belongs to this backbone and layer"
            )
        bins = _bin_of(values)
        self._hold(int(bins.min()), int(bins.max()))
        np.add.at(self._counts.reshape(-1), ids * self._counts.shape[1] + bins - self._first, 1)

    def _hold(self, lowest: int, highest: int) -> None:
        """Grow to hold bins of these numbers."""
        if not self._counts.size:
            self._first = lowest
        below = max(0, self._first - lowest)
        above = max(0, highest + 1 - self._first - self._counts.shape[1])
        if below or above:
            below, above = (-(-n // _GROWTH) * _GROWTH for n in (below, above))
            self._counts = np.pad(self._counts, ((0, 0), (below, above)))
            self._first -= below

    def totals(self) -> NDArray[np.int64]:
        """Activations of each feature, [d_sae]."""
        totals: NDArray[np.int64] = self._counts.sum(axis=1)
        return totals

    def quantiles(self) -> NDArray[np.float32]:
        """Of each feature's activations, pooled over all for one that has few, [len(QUANTILES), d_sae]."""
        quantiles = _quantiles(self._counts, self._first)
        quantiles[:, self.totals() < RARE] = _quantiles(self._counts.sum(axis=0, keepdims=True), self._first)
        return quantiles


def _bin_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of the bin of positive values; bin 0 begins at `_EDGE`."""
    position = np.log(values / _EDGE) / np.log(_SPAN) * _BINS
    bins: NDArray[np.int64] = np.floor(position).astype(np.int64)
    return bins


def _quantiles(counts: NDArray[np.int64], first: int) -> NDArray[np.float32]:
    """Quantiles of binned values, [n, bins] from bin `first` on -> [len(QUANTILES), n]; 0 where a row is empty."""
    result = np.zeros((len(QUANTILES), len(counts)), dtype=np.float32)
    if not counts.size:
        return result
    cumulative = counts.cumsum(axis=1)
    total = cumulative[:, -1]
    for i, name in enumerate(QUANTILES):
        target = float(name[1:]) / 100 * total
        found = (cumulative >= target[:, None]).argmax(axis=1)
        row = np.arange(len(counts))
        inside = counts[row, found]
        below = cumulative[row, found] - inside
        share = np.divide(target - below, inside, out=np.zeros(len(counts)), where=inside > 0)
        value = _EDGE * _SPAN ** ((first + found + share) / _BINS)
        result[i] = np.where(total > 0, value, 0.0)
    return result


def describe(threshold: Threshold) -> str:
    """A threshold in words, for reports."""
    if isinstance(threshold, str):
        return f"the {threshold[1:]} % quantile of each feature's own token activations"
    return f"{format_threshold(threshold)} in the SAE's units"
