"""FeatureExtractor: the `datasets.map` transform that attaches SAE feature activations to rows."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone.batching import Batch
from fac_datasets.backbone.identity import EMBEDDED, backbone_info
from fac_datasets.backbone.model import Backbone
from fac_datasets.backbone.pretrained import require_dtype
from fac_datasets.backbone.rendering import require_render
from fac_datasets.backbone.tokenizing import require_escaping
from fac_datasets.backbone.windows import Window
from fac_datasets.backbone.worker_threads import in_ray_actor, in_sound_thread
from fac_datasets.coverage.state import FeatureCoverage
from fac_datasets.errors import (
    BackboneError,
    CalibrationMissing,
    ColumnError,
    FeatureSpaceMismatch,
    OptionError,
    RowError,
)
from fac_datasets.feature_space import (
    FeatureSpace,
    Threshold,
    feature_columns,
    parse_threshold,
    reading_suffix,
    require_activation,
)
from fac_datasets.rows.cells import quoted_json
from fac_datasets.rows.inputs import is_instance
from fac_datasets.rows.messages import canonical_role, require_parts
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Chat, Row
from fac_datasets.rows.tables import as_table, with_columns
from fac_datasets.sae.calibration import register_calibrations, thresholds_of

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from fac_datasets.features.max_pooling import Peaks
    from fac_datasets.sae.model import SparseAutoencoder

_FIT_TOKENS = 256
"""Own tokens on which an SAE's reconstruction is compared with what its card says."""


class _Loaded(NamedTuple):
    """What an extractor computes with."""

    backbone: Backbone
    sae: SparseAutoencoder
    cutoffs: torch.Tensor
    """Activations above them are stored, [d_sae]."""


class FeatureExtractor:
    """Attach SAE feature activations to a dataset: `dataset.map(extractor, batched=True)`.

    Each row's own tokens pass the backbone up to `layer`, the SAE encodes the residual stream, and each feature is
    pooled by its maximum over the row. The features above the threshold are stored with the characters of their peak.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id of a causal language model.
        sae: `"embedded"`, a local folder or a Hub id.
        layer: decoder blocks before the residual stream; by default the SAE's.
        column: what is read: a column, a list of columns, or a template such as `"{question}\\n{answer}"`; by default
            the known schema that is present (see `rows/README.md`). Of a preference `"chosen"` or `"rejected"` must be
            named, and the new columns carry it as prefix.
        render: `"chat"` or `"raw"`; by default `"chat"` where the tokenizer has a template.
        roles: a role, or several, whose messages are pooled; by default all but `system` and `developer`, and of
            `chosen` and `rejected` the last message alone.
        parts: what of messages is read beside their texts: `"reasoning"`, `"tool_calls"`.
        escape_special: read special tokens that a text spells as plain characters. By default
            `<|im_end|>` within a text ends its turn, as it does in transformers, so that whoever wrote the text can
            forge turns; choose this for data that may hold attacks.
        activation: `"sae"`, the SAE's own nonlinearity, or `"relu"` of the pre-activations.
        threshold: activations above it are stored: a number in the SAE's units, or a quantile such as `"q50"`.
        spans: store character offsets of each peak and of all own tokens.
        max_length: tokens in a window; longer rows are processed in several.
        truncate: cut longer rows instead.
        batch_tokens: tokens in a padded batch.
        device: torch device; by default CUDA where there is one.
        dtype: of the backbone: float32, bfloat16, float16 or float64.
        other_backbone: accept an SAE that was trained on another backbone of the same width, or does not say on which.
        skip_bad: give a row that cannot be read no features, and say why in a column `feature_error`, instead of
            stopping.

    Raises:
        OptionError: an option has no meaning.

    Example:
        >>> rows = texts.map(FeatureExtractor(), batched=True)
        >>> len(rows[0]["feature_ids"]) == len(rows[0]["feature_activations"])
        True
    """

    is_published_pair = False
    """Whether backbone and SAE were named as a pair that the paper publishes; see `reference`."""

    def __init__(
        self,
        backbone: str = EMBEDDED,
        sae: str = EMBEDDED,
        layer: int | None = None,
        *,
        column: ColumnChoice = None,
        render: str | None = None,
        roles: str | Sequence[str] | None = None,
        parts: str | Sequence[str] = (),
        escape_special: bool = False,
        activation: str = "sae",
        threshold: Threshold = "q50",
        spans: bool = True,
        max_length: int = 512,
        truncate: bool = False,
        batch_tokens: int = 4096,
        device: str | None = None,
        dtype: str = "float32",
        other_backbone: bool = False,
        skip_bad: bool = False,
    ) -> None:
        if render is not None:
            require_render(render)
        require_activation(activation)
        if max_length < 16:
            raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
        if batch_tokens < 1:
            raise OptionError(f"batch_tokens={batch_tokens} is too small; the least is 1")
        require_dtype(dtype)
        self.backbone_name = str(backbone)
        self.sae_name = str(sae)
        self.layer = layer
        self.column = column if column is None or isinstance(column, str) else tuple(column)
        self.render = render
        self.roles = _roles(roles)
        self.parts = require_parts(parts)
        self.escape_special = escape_special
        self.activation = activation
        self.threshold = parse_threshold(threshold)
        self.spans = spans
        self.max_length = max_length
        self.truncate = truncate
        self.batch_tokens = batch_tokens
        self.device = device
        self.dtype = dtype
        self.other_backbone = other_backbone
        self.skip_bad = skip_bad
        self._space: FeatureSpace | None = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Forget everything that belongs to a process."""
        self._loaded: _Loaded | None = None
        self._first_vectors: list[torch.Tensor] | None = []
        self._rank: int | None = None
        self._said: set[str] = set()
        self._readers: dict[Any, RowReader] = {}
        self._budget = self.batch_tokens

    @classmethod
    def reference(cls, name: str, *, threshold: float = 1.0, **options: Any) -> FeatureExtractor:
        """The extractor of a pair that the paper publishes (arXiv 2602.10388): plain ReLU and a numeric threshold.

        Args:
            name: `"llama"`, `"qwen2"` or `"mistral"`.
            threshold: in the SAE's units; the authors run 0, 0.5, 1, 1.5, 2 and 4.
            options: of the extractor. `backbone` and `sae` may name local copies, which then belong together, unless
                the SAE says otherwise.

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
        extractor = cls(threshold=threshold, **chosen)
        extractor.is_published_pair = True
        return extractor

    def __getstate__(self) -> dict[str, Any]:
        """Options and digests only: an extractor hashes the same in every process and pickles without its weights."""
        kept = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}
        return {**kept, "_space": self.feature_space}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_afresh()

    @property
    def feature_space(self) -> FeatureSpace:
        """The feature space of the columns; reads digests, loads no weights into memory.

        Raises:
            BackboneError: the backbone is not there, or has fewer blocks than `layer`.
            SAEMismatch: the SAE is of another layer, width or backbone, or does not say of which backbone.
        """
        if self._space is None:
            from fac_datasets.sae.loading import find_sae
            from fac_datasets.sae.model import names_backbone, require_match

            info = backbone_info(self.backbone_name)
            found = find_sae(self.sae_name)
            config = found.config
            layer = config.layer if self.layer is None else self.layer
            is_named = self.is_published_pair and not names_backbone(config)
            require_match(config, info, layer, other_backbone=self.other_backbone or is_named)
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
                reading=reading_suffix(self.roles, self.parts, escape_special=self.escape_special),
            )
        return self._space

    def reader(self, features: Mapping[str, Any] | Sequence[str]) -> RowReader:
        """What reads the rows of a dataset with these columns."""
        return RowReader(features, self.column, self.parts)

    def prefix(self, features: Mapping[str, Any] | Sequence[str]) -> str:
        """What the names of the feature columns of a dataset with these columns start with."""
        return self.reader(features).prefix

    def columns(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """The feature columns that a dataset with these columns gets, with their types.

        A streamed dataset knows its columns after `map` only where it is told, with
        `features=Features({**stream.features, **extractor.columns(stream.features)})`.
        """
        reader = self.reader(features)
        return feature_columns(reader.prefix, spans=self.spans, chat=reader.has_parts, errors=self.skip_bad)

    @property
    def unread(self) -> dict[str, int]:
        """How many things in messages this process has not read so far, by kind."""
        found: dict[str, int] = {}
        for reader in self._readers.values():
            for kind, count in reader.unread.items():
                found[kind] = found.get(kind, 0) + count
        return found

    @property
    def sae(self) -> SparseAutoencoder:
        """The SAE, loaded on first use."""
        return self._load().sae

    @property
    def backbone(self) -> Backbone:
        """The cut backbone, loaded on first use."""
        return self._load().backbone

    def thresholds(self, threshold: Threshold) -> NDArray[np.float32]:
        """One threshold a feature in this extractor's space, [d_sae]; loads no weights."""
        from fac_datasets.sae.loading import find_sae

        return thresholds_of(self.feature_space, parse_threshold(threshold), find_sae(self.sae_name).config.d_sae)

    def thresholds_digest(self, threshold: Threshold) -> str:
        """What tells the thresholds of two calibrations apart, by which a quantile is a number."""
        return hashlib.sha256(self.thresholds(threshold).tobytes()).hexdigest()[:16]

    def empty_coverage(self, threshold: Threshold = "q90") -> FeatureCoverage:
        """A coverage of no rows in this extractor's space, to update with rows as they come; loads no weights.

        Example:
            >>> state = extractor.empty_coverage()
            >>> for batch in texts.to_iterable_dataset().map(extractor, batched=True).iter(1000):
            ...     _ = state.update(batch)
            >>> state.n_rows
            12
        """
        thresholds = self.thresholds(threshold)
        return FeatureCoverage(len(thresholds), self.feature_space, thresholds)

    def __call__(self, batch: Any, *given: int | Sequence[int]) -> Any:
        """Feature columns of a batch, as `datasets.map(batched=True)` and Ray Data's `map_batches` expect them.

        Args:
            batch: columns by name, a `pyarrow.Table` or a `pandas.DataFrame`.
            given: with `with_indices=True` the rows' indices, which errors then name; with `with_rank=True` the
                process's rank, by which processes spread over CUDA devices.

        Returns:
            The feature columns, a list each; for a table or a frame all its columns with them.

        Raises:
            ColumnError: the column is missing or ambiguous, or feature columns are there that would not be replaced.
            RowError: a row is no text and no chat.
        """
        import pandas as pd
        import pyarrow as pa

        _require_batch(batch)
        if isinstance(batch, dict) and in_ray_actor():
            for name, column in batch.items():
                if (key := quoted_json(column)) is not None:
                    raise OptionError(
                        f"Ray hands over column {name!r} with {key!r} as quoted JSON; use "
                        f"map_batches(..., batch_format='pyarrow')"
                    )
            # Given back as arrays, Ray would make tensors of ragged columns.
            batch = as_table(batch)
        for value in given:
            if isinstance(value, int):
                self._rank = value
        indices = next((value for value in given if not isinstance(value, int)), None)
        reader = self._reader_of(batch)
        prefix = reader.prefix
        types = feature_columns(prefix, spans=self.spans, chat=reader.has_parts, errors=self.skip_bad)
        names = batch.column_names if isinstance(batch, pa.Table) else list(batch)
        stale = sorted({*feature_columns(prefix, chat=True, errors=True)} & {*names} - {*types})
        if stale:
            raise ColumnError(
                f"columns {stale} of another extraction would stay beside the new ones; remove them first"
            )
        refused: list[RowError] | None = [] if self.skip_bad else None
        try:
            rows = reader.read(batch, refused)
            found = self._extract(rows, reader.has_parts, refused)
        except RowError as error:
            raise (error.in_batch() if indices is None else error.at(indices[error.row])) from error
        self._tell(reader, rows)
        named = {prefix + name: column for name, column in found.items()}
        if isinstance(batch, pa.Table):
            return with_columns(batch, named, types)
        if isinstance(batch, pd.DataFrame):
            _require_frame_of_arrow(batch)
            return batch.assign(**named)
        return named

    def _reader_of(self, batch: Any) -> RowReader:
        """What reads a batch; the same one for all batches of a dataset, so that it tells of each thing once."""
        reader = RowReader.of_batch(batch, self.column, self.parts)
        return self._readers.setdefault((reader.columns, reader.schema.name, reader.has_parts), reader)

    def _tell(self, reader: RowReader, rows: Sequence[Row]) -> None:
        """Warn, once each, of what a reader passes over."""
        told = reader.passed_over()
        chats = [row for row in rows if isinstance(row, Chat)]
        if self.roles and chats:
            there = {message["role"] for chat in chats for message in chat}
            odd = [role for role in self.roles if role not in there]
            if odd:
                told.append(f"no message of the first {len(rows)} rows has a role of {odd}; there are {sorted(there)}")
        for text in told:
            about = text.partition(";")[0]
            if about not in self._said:
                self._said.add(about)
                warnings.warn(text, stacklevel=3)

    def extract(self, rows: Sequence[Row], *, chat: bool = False) -> dict[str, Any]:
        """Feature columns of rows, each a list of one array a row.

        Args:
            rows: texts, texts of parts, or lists of messages.
            chat: add `feature_messages`.

        Raises:
            RowError: a row cannot be read, and `skip_bad` is not set.
        """
        return self._extract(rows, chat, [] if self.skip_bad else None)

    def _extract(self, rows: Sequence[Row], chat: bool, refused: list[RowError] | None) -> dict[str, Any]:
        peaks, windows = in_sound_thread(lambda: self._peaks(rows, self._load().cutoffs, refused))
        columns = self._columns(peaks, windows, len(rows), chat)
        if refused is not None:
            problems = {error.row: error.problem for error in refused}
            columns["feature_error"] = [problems.get(row, "") for row in range(len(rows))]
        return columns

    def windows(self, rows: Sequence[Row], refused: list[RowError] | None = None) -> list[Window]:
        """The windows that rows are measured in; their own tokens are what is pooled."""
        return self.backbone.windows(
            rows,
            render=self.feature_space.render,
            max_length=self.max_length,
            roles=self.roles,
            truncate=self.truncate,
            escape_special=self.escape_special,
            refused=refused,
        )

    def peaks(self, rows: Sequence[Row]) -> Peaks:
        """The pooled activations of rows, before any cut-off."""
        import torch

        return in_sound_thread(lambda: self._peaks(rows, torch.zeros_like(self._load().cutoffs), None)[0])

    def placed_peaks(self, rows: Sequence[Row]) -> tuple[Peaks, NDArray[np.int64]]:
        """The pooled activations of rows, before any cut-off, and where each peaks.

        Returns:
            The peaks; and of each the message, the first character of its token and the one behind it, [n, 3].
        """
        import torch

        peaks, windows = in_sound_thread(lambda: self._peaks(rows, torch.zeros_like(self._load().cutoffs), None))
        places = [
            _joined([of_window[window.own] for window, of_window in zip(windows, each, strict=True)])
            for each in ([w.messages for w in windows], [w.starts for w in windows], [w.ends for w in windows])
        ]
        return peaks, np.stack(places, axis=1)[peaks.positions].astype(np.int64)

    def _peaks(
        self, rows: Sequence[Row], cutoffs: torch.Tensor, refused: list[RowError] | None
    ) -> tuple[Peaks, list[Window]]:
        """The pooled activations above the cut-offs, and the windows that they were measured in; see `row_windows`."""
        import torch

        from fac_datasets.features.max_pooling import joined, row_peaks, strongest, unpacked

        backbone, sae, _ = self._load()
        windows = self.windows(_present(rows, refused), refused)
        own_counts = np.array([int(window.own.sum()) for window in windows], dtype=np.int64)
        first = np.concatenate([[0], own_counts.cumsum()])
        found = []
        pending = list(backbone.batches(windows, self._budget))[::-1]
        while pending:
            batch = pending.pop()
            token_rows = np.repeat([window.row for window in batch.windows], own_counts[batch.indices])
            positions = np.concatenate([np.arange(first[i], first[i + 1]) for i in batch.indices])
            rows_there, places = (torch.from_numpy(part).to(backbone.device) for part in (token_rows, positions))
            try:
                vectors = backbone.own_vectors(batch).float()
                found.append(row_peaks(sae, vectors, rows_there, places, cutoffs, self.activation))
            except torch.OutOfMemoryError as error:
                pending += self._smaller(batch, error)
                continue
            self._compare_with_card(sae, vectors)
        return unpacked(strongest(joined(found)), sae.config.d_sae), windows

    def _smaller(self, batch: Batch, error: Exception) -> tuple[Batch, Batch]:
        """What to run in place of a batch for which memory was not enough; later batches hold half as much too."""
        import torch

        if len(batch.windows) == 1:
            raise OptionError(
                f"memory is not enough for one window of {len(batch.windows[0].token_ids)} tokens; lower "
                f"max_length={self.max_length}"
            ) from error
        if self._budget == self.batch_tokens:
            warnings.warn(
                f"memory is not enough for batch_tokens={self.batch_tokens}; going on with smaller batches",
                stacklevel=2,
            )
        tokens = sum(len(window.token_ids) - batch.prefix for window in batch.windows)
        self._budget = max(1, min(self._budget, tokens // 2))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return batch.halves()

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

    def _columns(self, peaks: Peaks, windows: Sequence[Window], n_rows: int, chat: bool) -> dict[str, Any]:
        # datasets keeps the types of numpy arrays, empty ones too, and turns lists of them into Arrow at full speed.
        tokens = np.bincount(
            [window.row for window in windows], weights=[window.own.sum() for window in windows], minlength=n_rows
        ).astype(np.int64)
        ends_of_rows = {"peaks": np.bincount(peaks.rows, minlength=n_rows).cumsum(), "tokens": tokens.cumsum()}

        def ragged(values: NDArray[Any], of: str = "peaks") -> list[NDArray[Any]]:
            return np.split(values, ends_of_rows[of])[:-1]

        columns: dict[str, Any] = {
            "feature_ids": ragged(peaks.ids.astype(np.int32)),
            "feature_activations": ragged(peaks.values.astype(np.float32)),
        }
        if self.spans:
            starts = _joined([window.starts[window.own] for window in windows])
            ends = _joined([window.ends[window.own] for window in windows])
            columns["feature_starts"] = ragged(starts[peaks.positions])
            columns["feature_ends"] = ragged(ends[peaks.positions])
            columns["feature_token_starts"] = ragged(starts, "tokens")
            if chat:
                messages = _joined([window.messages[window.own] for window in windows])
                columns["feature_messages"] = ragged(messages[peaks.positions])
                columns["feature_token_messages"] = ragged(messages, "tokens")
        columns["feature_tokens"] = tokens.astype(np.int32)
        columns["feature_space"] = [str(self.feature_space)] * n_rows
        return columns

    def _load(self) -> _Loaded:
        if self._loaded is None:
            import torch

            from fac_datasets.sae.loading import find_sae

            space = self.feature_space
            # An extractor that came from another process or machine finds the calibration here too, and the same SAE.
            found = find_sae(self.sae_name)
            for what, digest, expected in (
                (self.sae_name, found.digest, space.sae_digest),
                (self.backbone_name, backbone_info(self.backbone_name).digest, space.backbone_digest),
            ):
                if digest != expected:
                    raise FeatureSpaceMismatch(f"{what!r} is {digest} here, but this extractor was made for {expected}")
            register_calibrations(found.folder, space.sae_digest)
            try:
                sae = found.load()
                cutoffs = thresholds_of(space, self.threshold, sae.config.d_sae)
            except CalibrationMissing as error:
                raise CalibrationMissing(f"threshold={self.threshold!r} cannot be used: {error}") from error
            device = self.device
            if device is None and self._rank is not None and torch.cuda.is_available():
                device = f"cuda:{self._rank % torch.cuda.device_count()}"
            backbone = Backbone(self.backbone_name, space.layer, device=device, dtype=self.dtype)
            if self.escape_special:
                require_escaping(backbone.tokenizer)
            self._loaded = _Loaded(
                backbone, sae.to(backbone.device), torch.from_numpy(cutoffs).float().to(backbone.device)
            )
        return self._loaded


def _roles(roles: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Roles by their one name, sorted."""
    wanted = [roles] if isinstance(roles, str) else list(roles or ())
    odd = [role for role in wanted if not isinstance(role, str) or not role or set(role) & set("/+,")]
    if odd:
        raise OptionError(f"roles={odd} are no names of roles, which are texts without any of / + ,")
    return tuple(sorted({canonical_role(role) for role in wanted})) or None


def _require_batch(batch: Any) -> None:
    """Raise OptionError unless it is a batch of rows, with columns by name."""
    import pyarrow as pa

    if is_instance(batch, "datasets.formatting.formatting", "LazyRow") or (
        isinstance(batch, dict) and any(isinstance(cell, str) for cell in batch.values())
    ):
        raise OptionError("this is one row; the extractor takes many: dataset.map(extractor, batched=True)")
    if not isinstance(batch, Mapping | pa.Table) and not hasattr(batch, "columns"):
        raise OptionError(
            f"the extractor was given {type(batch).__name__}, not columns by name; leave out input_columns= and name "
            f"what is read with FeatureExtractor(column=...)"
        )


def _require_frame_of_arrow(frame: pd.DataFrame) -> None:
    """Raise OptionError where a column of a frame has no type in Arrow, so that datasets could not take it back."""
    import pyarrow as pa

    for name in frame:
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise OptionError(
                f"pandas has no type for column {name!r}, which holds values of several kinds, so that datasets cannot "
                f"take the frame back; map in another format, with_format(None) or with_format('arrow')"
            ) from error


def _present(rows: Sequence[Row], refused: list[RowError] | None) -> Sequence[Row]:
    """The rows, each of which must hold something."""
    known = {error.row for error in refused or ()}
    for index, row in enumerate(rows):
        if row is None and index not in known:
            error = RowError(index, "holds nothing (None); leave it out, or give it an empty text")
            if refused is None:
                raise error
            refused.append(error)
    return rows


def _joined(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
