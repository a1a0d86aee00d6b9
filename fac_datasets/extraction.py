"""FeatureExtractor: the `datasets.map` transform that attaches SAE feature activations to rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone import (
    EMBEDDED,
    Backbone,
    Row,
    Window,
    backbone_info,
    batches_by_tokens,
    own_vectors,
    require_render,
)
from fac_datasets.columns import is_chat, read_rows, resolve_column
from fac_datasets.errors import BackboneError, CalibrationMissing, OptionError
from fac_datasets.feature_space import FeatureSpace, Threshold, parse_threshold, require_activation
from fac_datasets.sae.calibration import register_calibrations, thresholds_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fac_datasets.sae.model import SparseAutoencoder

_ENCODE_ELEMENTS = 1 << 25
"""Pre-activations held at once: encoding takes at most four times this many bytes beside the residual stream."""


_FIT_TOKENS = 256
"""Own tokens on which an SAE's reconstruction is compared with what its card says."""


class Peaks(NamedTuple):
    """The strongest activation of each feature in each row, sorted by row and feature."""

    rows: NDArray[np.int64]
    """Row of each peak, [n]."""
    ids: NDArray[np.int64]
    """Feature of each peak, [n]."""
    values: NDArray[np.float32]
    """Activation at the peak, [n]."""
    positions: NDArray[np.int64]
    """Index of the peak's token among all own tokens of the batch, [n]."""

    def where(self, chosen: NDArray[Any]) -> Peaks:
        """The peaks at a mask or at indices."""
        return Peaks(self.rows[chosen], self.ids[chosen], self.values[chosen], self.positions[chosen])


class FeatureExtractor:
    """Attach SAE feature activations to a dataset: `dataset.map(extractor, batched=True)`.

    Each row's own tokens pass the backbone up to `layer`, the SAE encodes the residual stream, and each feature is
    pooled by its maximum over the row. The features above the threshold are stored with the characters of their peak.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id of a causal language model.
        sae: `"embedded"`, a local folder or a Hub id.
        layer: decoder blocks before the residual stream; by default the SAE's.
        column: column of texts or chats; by default the one known name that is present. For `chosen` / `rejected` data
            it must be named, and the new columns carry it as prefix.
        render: `"chat"` or `"raw"`; by default `"chat"` where the tokenizer has a template.
        roles: roles whose messages are pooled; by default all but `system`.
        activation: `"sae"`, the SAE's own nonlinearity, or `"relu"` of the pre-activations.
        threshold: activations above it are stored: a number in the SAE's units, or a quantile such as `"q50"`.
        spans: store character offsets of each peak.
        max_length: tokens in a window; longer rows are processed in several.
        truncate: cut longer rows instead.
        batch_tokens: tokens in a padded batch.
        device: torch device; by default CUDA where there is one.
        dtype: of the backbone.
        other_backbone: accept an SAE that was trained on another backbone of the same width.

    Raises:
        OptionError: an option has no meaning.

    Example:
        >>> rows = texts.map(FeatureExtractor(), batched=True)
        >>> len(rows[0]["feature_ids"]) == len(rows[0]["feature_activations"])
        True
    """

    def __init__(
        self,
        backbone: str = EMBEDDED,
        sae: str = EMBEDDED,
        layer: int | None = None,
        *,
        column: str | None = None,
        render: str | None = None,
        roles: Sequence[str] | None = None,
        activation: str = "sae",
        threshold: Threshold = "q50",
        spans: bool = True,
        max_length: int = 512,
        truncate: bool = False,
        batch_tokens: int = 4096,
        device: str | None = None,
        dtype: str = "float32",
        other_backbone: bool = False,
    ) -> None:
        if render is not None:
            require_render(render)
        require_activation(activation)
        if max_length < 16:
            raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
        self.backbone_name = str(backbone)
        self.sae_name = str(sae)
        self.layer = layer
        self.column = column
        self.render = render
        self.roles = tuple(roles) if roles else None
        self.activation = activation
        self.threshold = parse_threshold(threshold)
        self.spans = spans
        self.max_length = max_length
        self.truncate = truncate
        self.batch_tokens = batch_tokens
        self.device = device
        self.dtype = dtype
        self.other_backbone = other_backbone
        self._space: FeatureSpace | None = None
        self._loaded: tuple[Backbone, SparseAutoencoder, NDArray[np.float32]] | None = None
        self._first_vectors: list[torch.Tensor] | None = []

    @classmethod
    def reference(cls, name: str, *, threshold: float = 1.0, **options: Any) -> FeatureExtractor:
        """The extractor of a pair that the paper publishes (arXiv 2602.10388): plain ReLU and a numeric threshold.

        Args:
            name: `"llama"`, `"qwen2"` or `"mistral"`.
            threshold: in the SAE's units; the authors run 0, 0.5, 1, 1.5, 2 and 4.
            options: of the extractor. `backbone` and `sae` may name local copies.

        Raises:
            OptionError: there is no pair of that name.

        Example:
            >>> FeatureExtractor.reference("qwen2").layer
            14
        """
        from fac_datasets.sae.formats.reference import PUBLISHED

        if name not in PUBLISHED:
            raise OptionError(f"the paper publishes no pair {name!r}; known: {', '.join(PUBLISHED)}")
        backbone, sae, layer = PUBLISHED[name]
        chosen = {"backbone": backbone, "sae": sae, "layer": layer, "activation": "relu", **options}
        return cls(threshold=threshold, **chosen)

    def __getstate__(self) -> dict[str, Any]:
        """Options and digests only: an extractor hashes the same in every process and pickles without its weights."""
        return {**self.__dict__, "_space": self.feature_space, "_loaded": None, "_first_vectors": []}

    @property
    def feature_space(self) -> FeatureSpace:
        """The feature space of the columns; reads digests, loads no weights into memory.

        Raises:
            BackboneError: the backbone is not there, or has fewer blocks than `layer`.
            SAEMismatch: the SAE is of another layer or width.
        """
        if self._space is None:
            from fac_datasets.sae.formats import find_sae
            from fac_datasets.sae.model import require_match

            info = backbone_info(self.backbone_name)
            found = find_sae(self.sae_name)
            config = found.config
            layer = config.layer if self.layer is None else self.layer
            require_match(config, info, layer, other_backbone=self.other_backbone)
            if self.render == "chat" and not info.has_template:
                raise BackboneError(f"{info.name} has no chat template; use render='raw'")
            register_calibrations(found.folder, found.digest)
            self._space = FeatureSpace(
                backbone=info.name,
                backbone_digest=info.digest,
                layer=layer,
                render=self.render or info.renders[0],
                sae=config.name,
                sae_digest=found.digest,
                activation=self.activation,
                threshold=self.threshold,
                windowing="cut" if self.truncate else "windows",
                max_length=self.max_length,
            )
        return self._space

    @property
    def sae(self) -> SparseAutoencoder:
        """The SAE, loaded on first use."""
        return self._load()[1]

    @property
    def backbone(self) -> Backbone:
        """The cut backbone, loaded on first use."""
        return self._load()[0]

    def thresholds(self, threshold: Threshold) -> NDArray[np.float32]:
        """One threshold a feature in this extractor's space, [d_sae]."""
        return thresholds_of(self.feature_space, parse_threshold(threshold), self.sae.config.d_sae)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Feature columns of a batch, as `datasets.map(batched=True)` expects them.

        Raises:
            ColumnError: the column is missing or ambiguous, or a row is no text and no chat.
        """
        columns = resolve_column(list(batch), self.column)
        rows = read_rows(batch, columns)
        chat = is_chat(batch, columns)
        prefix = f"{columns[0]}_" if columns[0] in ("chosen", "rejected") else ""
        return {prefix + name: column for name, column in self.extract(rows, chat=chat).items()}

    def extract(self, rows: Sequence[Row], *, chat: bool = False) -> dict[str, Any]:
        """Feature columns of rows, each a list of one array a row.

        Args:
            rows: texts, lists of messages, or None.
            chat: add `feature_messages`.
        """
        peaks, windows = self.peaks(rows)
        active = peaks.values > self._load()[2][peaks.ids]
        return self._columns(peaks.where(active), windows, len(rows), chat)

    def windows(self, rows: Sequence[Row]) -> list[Window]:
        """The windows that rows are measured in; their own tokens are what is pooled."""
        return self.backbone.windows(
            rows,
            render=self.feature_space.render,
            max_length=self.max_length,
            roles=self.roles,
            truncate=self.truncate,
        )

    def peaks(self, rows: Sequence[Row]) -> tuple[Peaks, list[Window]]:
        """The pooled positive activations of rows before any cut-off, and the windows that they were measured in."""
        backbone, sae, _ = self._load()
        windows = self.windows(rows)
        own_counts = np.array([int(window.own.sum()) for window in windows], dtype=np.int64)
        first_positions = np.concatenate([[0], own_counts.cumsum()])
        found = []
        for indices in batches_by_tokens(windows, self.batch_tokens):
            group = [windows[i] for i in indices]
            vectors = own_vectors(backbone.residual(group).float(), group)
            self._compare_with_card(sae, vectors)
            token_rows = np.repeat([window.row for window in group], own_counts[indices])
            positions = np.concatenate([np.arange(first_positions[i], first_positions[i + 1]) for i in indices])
            found.append(self._encode(sae, vectors, token_rows, positions))
        return strongest(found, sae.config.d_sae), windows

    def _compare_with_card(self, sae: SparseAutoencoder, vectors: torch.Tensor) -> None:
        """On first use, warn where the SAE explains or fires far from what it says of itself."""
        if self._first_vectors is None:
            return
        self._first_vectors.append(vectors[: 4 * _FIT_TOKENS])
        if sum(len(part) for part in self._first_vectors) < _FIT_TOKENS:
            return
        import torch

        from fac_datasets.sae.evaluation import misfit

        found = misfit(sae, torch.cat(self._first_vectors))
        self._first_vectors = None
        if found:
            warnings.warn(
                f"{found}. It may belong to another backbone or layer, or these texts are unlike its training text",
                stacklevel=2,
            )

    def _encode(
        self, sae: SparseAutoencoder, vectors: torch.Tensor, token_rows: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> Peaks:
        """Encode the own tokens of a batch in chunks of bounded memory and keep each row's peaks."""
        chunk = max(1, _ENCODE_ELEMENTS // sae.config.d_sae)
        found = []
        for start in range(0, len(vectors), chunk):
            part = slice(start, start + chunk)
            encode = _active_peaks if self.activation == "sae" else _relu_peaks
            found.append(encode(sae, vectors[part], token_rows[part], positions[part]))
        return strongest(found, sae.config.d_sae)

    def _columns(self, peaks: Peaks, windows: Sequence[Window], n_rows: int, chat: bool) -> dict[str, Any]:
        # datasets keeps the types of numpy arrays, empty ones too, and turns lists of them into Arrow at full speed.
        boundaries = np.bincount(peaks.rows, minlength=n_rows).cumsum()[:-1]

        def ragged(values: NDArray[Any]) -> list[NDArray[Any]]:
            return np.split(values, boundaries)

        columns: dict[str, Any] = {
            "feature_ids": ragged(peaks.ids.astype(np.int32)),
            "feature_activations": ragged(peaks.values.astype(np.float32)),
        }
        if self.spans:
            columns["feature_starts"] = ragged(_gather([window.starts[window.own] for window in windows], peaks))
            columns["feature_ends"] = ragged(_gather([window.ends[window.own] for window in windows], peaks))
            if chat:
                columns["feature_messages"] = ragged(_gather([w.messages[w.own] for w in windows], peaks))
        tokens = np.bincount(
            [window.row for window in windows], weights=[window.own.sum() for window in windows], minlength=n_rows
        )
        columns["feature_tokens"] = tokens.astype(np.int32)
        columns["feature_space"] = [str(self.feature_space)] * n_rows
        return columns

    def _load(self) -> tuple[Backbone, SparseAutoencoder, NDArray[np.float32]]:
        if self._loaded is None:
            from fac_datasets.sae.formats import find_sae

            space = self.feature_space
            # An extractor that came from another process or machine finds the calibration here too.
            found = find_sae(self.sae_name)
            register_calibrations(found.folder, space.sae_digest)
            try:
                sae = found.load()
                cutoffs = thresholds_of(space, self.threshold, sae.config.d_sae)
            except CalibrationMissing as error:
                raise CalibrationMissing(f"threshold={self.threshold!r} cannot be used: {error}") from error
            backbone = Backbone(self.backbone_name, space.layer, device=self.device, dtype=self.dtype)
            self._loaded = backbone, sae.to(backbone.device), cutoffs
        return self._loaded


def strongest(found: Sequence[Peaks], d_sae: int) -> Peaks:
    """The strongest peak of each (row, feature), the earliest where several are equal; sorted by row and feature."""
    if not found:
        empty = np.empty(0, dtype=np.int64)
        return Peaks(empty, empty, empty.astype(np.float32), empty)
    peaks = Peaks(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    key = peaks.rows * d_sae + peaks.ids
    order = np.lexsort((peaks.positions, -peaks.values, key))
    key = key[order]
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    return peaks.where(order[first])


def _active_peaks(
    sae: SparseAutoencoder, vectors: torch.Tensor, token_rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> Peaks:
    tokens, ids, values = (part.cpu().numpy() for part in sae.active_features(vectors))
    return strongest([Peaks(token_rows[tokens], ids, values, positions[tokens])], sae.config.d_sae)


def _relu_peaks(
    sae: SparseAutoencoder, vectors: torch.Tensor, token_rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> Peaks:
    pre = sae.pre_activations(vectors)
    found = []
    boundaries = np.flatnonzero(np.diff(token_rows)) + 1
    for part in np.split(np.arange(len(token_rows)), boundaries):
        values, where = pre[part[0] : part[-1] + 1].max(dim=0)
        ids = np.flatnonzero((values > 0).cpu().numpy())
        peak = part[0] + where.cpu().numpy()[ids]
        found.append(Peaks(np.full(len(ids), token_rows[part[0]]), ids, values.cpu().numpy()[ids], positions[peak]))
    return strongest(found, sae.config.d_sae)


def _gather(parts: Sequence[NDArray[np.int32]], peaks: Peaks) -> NDArray[np.int32]:
    values = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    return values[peaks.positions]
