"""The backbone: a tokenizer and a language model cut after L decoder blocks.

A layer L is the residual stream after L decoder blocks; 0 is the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.batching import Batch, batches_by_tokens, pad
from fac_datasets.backbone.causality import require_causal_run
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import load_cut_model, load_tokenizer, torch_device
from fac_datasets.backbone.windows import Window, row_windows
from fac_datasets.errors import BackboneError
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fac_datasets.errors import RowError


class Backbone:
    """A tokenizer and a causal language model cut after `layer` decoder blocks.

    Args:
        name: `"embedded"`, a local folder or a Hub id of a causal language model of transformers.
        layer: number of decoder blocks that run, in [0, number of blocks].
        device: torch device; by default CUDA where there is one, else the CPU.
        dtype: torch dtype of the weights, by name.

    Raises:
        BackboneError: the model cannot be loaded, has another structure than a decoder, has fewer blocks, or its tokens
            see those behind them.

    Example:
        >>> backbone = Backbone("embedded", layer=15)
        >>> windows = backbone.windows(["Hello."], render="raw", max_length=512)
        >>> backbone.residual(windows).shape
        torch.Size([1, 3, 576])
    """

    def __init__(self, name: str, layer: int, *, device: str | None = None, dtype: str = "float32") -> None:
        self.info = backbone_info(name)
        if not 0 <= layer <= self.info.n_layers:
            raise BackboneError(
                f"layer={layer} is past the end of {self.info.name}, which has {self.info.n_layers} decoder blocks; "
                f"choose a layer in [0, {self.info.n_layers}]"
            )
        self.layer = layer
        self.tokenizer = load_tokenizer(self.info.path)
        self.device = torch_device(device)
        self.model = load_cut_model(self.info.path, layer, dtype).to(self.device)
        self._prefix: tuple[NDArray[np.int64], Any] | None = None
        require_causal_run(self._run, self.model.get_input_embeddings().num_embeddings, self.info.name)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.info.d_model

    def windows(
        self,
        rows: Sequence[Row],
        *,
        render: str,
        max_length: int,
        roles: Sequence[str] | None = None,
        truncate: bool = False,
        escape_special: bool = False,
        refused: list[RowError] | None = None,
    ) -> list[Window]:
        """Render, tokenize and split rows; see `row_windows`."""
        return list(
            row_windows(
                self.tokenizer,
                rows,
                render=render,
                max_length=max_length,
                roles=roles,
                truncate=truncate,
                escape_special=escape_special,
                refused=refused,
            )
        )

    def residual(self, windows: Sequence[Window]) -> torch.Tensor:
        """Run windows as one right-padded batch and return the residual stream after `layer` blocks.

        Attention is causal, so padding on the right never reaches a real token and needs no mask.

        Args:
            windows: at least one window.

        Returns:
            Float tensor [len(windows), longest window, d_model] on the backbone's device.
        """
        token_ids, _ = pad(windows)
        return self._run(token_ids)

    def _run(self, token_ids: NDArray[np.int64]) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            output = self.model(input_ids=torch.from_numpy(token_ids).to(self.device), use_cache=False)
        residual: torch.Tensor = output.last_hidden_state
        return residual

    def batches(self, windows: Sequence[Window], batch_tokens: int) -> Iterator[Batch]:
        """Windows in batches for `own_vectors`; see `batches_by_tokens`."""
        from fac_datasets.backbone.prefix_cache import keeps_all_tokens

        return batches_by_tokens(windows, batch_tokens, share_prefixes=keeps_all_tokens(self.model.config))

    def own_vectors(self, batch: Batch) -> torch.Tensor:
        """Run a batch and return the residual vectors of its own tokens.

        A prefix that the windows share is run once, for all batches that follow each other with it; what follows it
        attends to its keys and values.

        Returns:
            Float tensor [own tokens of the batch, d_model], in the order of the windows, on the backbone's device.

        Raises:
            BackboneError: a vector is not finite.
        """
        import torch

        shared = self._prefix_cache(batch) if batch.prefix else None
        token_ids, own = pad(batch.windows, batch.prefix)
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.from_numpy(token_ids).to(self.device),
                past_key_values=shared,
                use_cache=shared is not None,
            )
            vectors: torch.Tensor = output.last_hidden_state[torch.from_numpy(own).to(self.device)]
        if not torch.isfinite(vectors).all():
            raise BackboneError(
                f"{self.info.name} gives residual vectors that are not finite in {self.model.dtype}; use another "
                f"dtype, or check its weights"
            )
        return vectors

    def _prefix_cache(self, batch: Batch) -> Any:
        """The keys and values of the prefix of a batch."""
        import torch

        from fac_datasets.backbone.prefix_cache import shared_by_rows

        token_ids = batch.windows[0].token_ids[: batch.prefix]
        if self._prefix is None or not np.array_equal(self._prefix[0], token_ids):
            with torch.inference_mode():
                output = self.model(input_ids=torch.from_numpy(token_ids)[None].to(self.device), use_cache=True)
            self._prefix = token_ids, shared_by_rows(output.past_key_values)
        return self._prefix[1]
