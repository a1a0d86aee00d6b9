"""Hidden states of a frozen backbone, one vector a row, computed once and kept on disk by the content of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.model import Backbone
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.backbone.rendering import require_render
from fac_datasets.backbone.windows import Window, row_windows
from fac_datasets.errors import OptionError, OutputError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

POOLINGS = ("last", "mean")
"""The vector of the last own token, or the mean over own tokens."""

BATCH_TOKENS = 2048
"""Tokens that run together, padding included."""

_ROWS_A_FILE = 256
"""Rows that land together: what a run that is killed has to compute again."""

_KEY_BYTES = 16

_NO_LIMIT = 1 << 30


class HiddenStates:
    """The residual stream of a frozen backbone behind one of its layers, a vector a row.

    A vector is kept by the tokens that it is of, so that other runs, seeds and selections of the same rows read it. The
    model is loaded when the first vector is missing.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id of a causal language model.
        layer: number of decoder blocks that run; by default all of them.
        pooling: `"last"`, the last own token, or `"mean"`, the mean over own tokens.
        render: `"chat"` or `"raw"`; by default `"chat"` where there is a template.
        max_length: tokens of a row, those of the template too; behind them it is cut.
        device: torch device; by default CUDA where there is one.
        dtype: torch dtype of the weights, by name.
        batch_tokens: tokens that run together.
        cache: folder for the vectors; by default none are kept.

    Raises:
        BackboneError: the backbone cannot be read.
        OptionError: an option has no meaning.

    Example:
        >>> states = HiddenStates("embedded", cache=Path("states"))
        >>> states(["Boil the rice.", "It rains in Madrid."]).shape
        (2, 576)
    """

    def __init__(
        self,
        backbone: str = "embedded",
        *,
        layer: int | None = None,
        pooling: str = "last",
        render: str | None = None,
        max_length: int = 512,
        device: str | None = None,
        dtype: str = "float32",
        batch_tokens: int = BATCH_TOKENS,
        cache: Path | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise OptionError(f"pooling={pooling!r} is none of {', '.join(POOLINGS)}")
        if max_length < 16:
            raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
        if render is not None:
            require_render(render)
        self.name, self.info = backbone, backbone_info(backbone)
        self.layer = self.info.n_layers if layer is None else layer
        self.pooling, self.render = pooling, render or self.info.renders[0]
        self.max_length, self.device, self.dtype, self.batch_tokens = max_length, device, dtype, batch_tokens
        self.folder = None if cache is None else cache / f"{self.info.digest}-layer{self.layer}-{pooling}-{dtype}"
        self.tokenizer: Any = load_tokenizer(self.info.path)
        self._backbone: Backbone | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the vectors, but for the rows."""
        return {
            "backbone": self.info.digest,
            "layer": self.layer,
            "pooling": self.pooling,
            "render": self.render,
            "max_length": self.max_length,
            "dtype": self.dtype,
        }

    def windows(self, rows: Sequence[Row]) -> list[Window | None]:
        """The whole tokens of each row, up to its last own token; None where it has none.

        They are not cut: whoever counts long rows looks at their lengths.

        Raises:
            RowError: a row cannot be read.
        """
        found: list[Window | None] = [None] * len(rows)
        for window in row_windows(self.tokenizer, rows, render=self.render, max_length=_NO_LIMIT):
            found[window.row] = window
        return found

    def __call__(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vector of each row, float32 [n_rows, d_model]; NaN where it has no own token.

        Raises:
            RowError: a row cannot be read.
        """
        windows = self.windows(rows)
        states = np.full((len(rows), self.info.d_model), np.nan, np.float32)
        filled = [i for i, window in enumerate(windows) if window is not None and window.own[: self.max_length].any()]
        states[filled] = self.of([window for i in filled if (window := windows[i]) is not None])
        return states

    def of(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """The vector of each window, float32 [n_windows, d_model], of which the first `max_length` tokens are read.

        Args:
            windows: each with an own token among those.
        """
        windows = [cut(window, self.max_length) for window in windows]
        keys = [_key(window) for window in windows]
        known = self._kept()
        missing = {key: window for key, window in zip(keys, windows, strict=True) if key not in known}
        known.update(self._computed(missing))
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, self.info.d_model), np.float32)

    def _computed(self, missing: dict[bytes, Window]) -> dict[bytes, NDArray[np.float32]]:
        from datasets.utils import are_progress_bars_disabled
        from tqdm.auto import tqdm

        keys = list(missing)
        found: dict[bytes, NDArray[np.float32]] = {}
        quiet = not keys or are_progress_bars_disabled()
        with tqdm(total=len(keys), unit="row", desc="hidden states", disable=quiet) as bar:
            for first in range(0, len(keys), _ROWS_A_FILE):
                chunk = keys[first : first + _ROWS_A_FILE]
                states = self._run([missing[key] for key in chunk])
                self._keep(chunk, states)
                found.update(zip(chunk, states, strict=True))
                bar.update(len(chunk))
        return found

    def _run(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        self._backbone = self._backbone or Backbone(self.name, self.layer, device=self.device, dtype=self.dtype)
        states = np.empty((len(windows), self.info.d_model), np.float32)
        for batch in self._backbone.batches(windows, self.batch_tokens):
            own = [int(window.own.sum()) for window in batch.windows]
            of_batch = self._backbone.own_vectors(batch).float().cpu().numpy()
            for i, vectors in zip(batch.indices, np.split(of_batch, np.cumsum(own)[:-1]), strict=True):
                states[i] = vectors[-1] if self.pooling == "last" else vectors.mean(axis=0)
        return states

    def _kept(self) -> dict[bytes, NDArray[np.float32]]:
        """The vectors on disk by key."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        found: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.safetensors")) if self.folder else []:
            try:
                held = load_file(path)
                found.update(zip(map(bytes, held["keys"]), held["states"], strict=True))
            except (OSError, KeyError, ValueError, SafetensorError) as error:
                raise OutputError(
                    f"{path} holds no hidden states ({error}); remove it, and they are made anew"
                ) from error
        return found

    def _keep(self, keys: Sequence[bytes], states: NDArray[np.float32]) -> None:
        from safetensors.numpy import save

        if self.folder is None:
            return
        held = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), _KEY_BYTES)
        name = hashlib.sha256(held.tobytes()).hexdigest()[: 2 * _KEY_BYTES]
        write_atomically(self.folder / f"{name}.safetensors", save({"keys": held, "states": states}))


def cut(window: Window, max_length: int) -> Window:
    """The first tokens of a window, as many as are read."""
    if len(window.token_ids) <= max_length:
        return window
    return window._replace(
        token_ids=window.token_ids[:max_length],
        own=window.own[:max_length],
        starts=window.starts[:max_length],
        ends=window.ends[:max_length],
        messages=window.messages[:max_length],
    )


def _key(window: Window) -> bytes:
    """What the vector of a window is kept by."""
    return hashlib.sha256(window.token_ids.tobytes() + window.own.tobytes()).digest()[:_KEY_BYTES]
