"""How likely a whole language model finds texts: the mean negative log-likelihood of their own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.batching import batches_by_tokens, pad
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import load_model, load_tokenizer, torch_device
from fac_datasets.backbone.windows import row_windows
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_TOKENS = 512
"""Tokens that run together, padding included; their logits take 4 bytes a token and word of the vocabulary."""


class Likelihood:
    """The mean negative log-likelihood of texts under a causal language model, in nats a token.

    A token's likelihood is the one given all tokens before it in its window, those of the template too. Only own tokens
    count; the first one of a text that nothing stands before, as with `raw` and a tokenizer without special tokens,
    has none.

    Args:
        model: a whole causal language model of transformers.
        tokenizer: a fast tokenizer of transformers.
        render: `"chat"` or `"raw"`.
        max_length: tokens in a window.
        batch_tokens: tokens that run together.

    Example:
        >>> nll = Likelihood(generator.model, generator.tokenizer, render="raw")
        >>> fluent, broken = nll(["The cat sat on the mat.", "mat on The sat. cat the"])
        >>> bool(fluent < broken)
        True
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, render: str, max_length: int = 512, batch_tokens: int = BATCH_TOKENS
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.render, self.max_length, self.batch_tokens = render, max_length, batch_tokens

    @classmethod
    def load(
        cls, name: str, *, render: str, max_length: int = 512, device: str | None = None, dtype: str = "float32"
    ) -> Likelihood:
        """The likelihood under a backbone.

        Args:
            name: `"embedded"`, a local folder or a Hub id.
            render: `"chat"` or `"raw"`.
            max_length: tokens in a window.
            device: torch device; by default CUDA where there is one.
            dtype: torch dtype, by name.

        Raises:
            BackboneError: the model cannot be loaded.
        """
        from transformers import AutoModelForCausalLM

        path = backbone_info(name).path
        model = load_model(AutoModelForCausalLM, path, dtype).to(torch_device(device))
        return cls(model, load_tokenizer(path), render=render, max_length=max_length)

    def __call__(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The mean negative log-likelihood of each row, [n_rows]; NaN where no own token has a likelihood.

        Raises:
            RowError: a row cannot be read.
        """
        windows = list(row_windows(self.tokenizer, rows, render=self.render, max_length=self.max_length))
        losses, counts = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
        for batch in batches_by_tokens(windows, self.batch_tokens, share_prefixes=False):
            for window, loss in zip(batch.windows, self._losses(*pad(batch.windows)), strict=True):
                losses[window.row] += loss
                counts[window.row] += int(window.own[1:].sum())
        means: NDArray[np.float64] = np.divide(losses, counts, out=np.full(len(rows), np.nan), where=counts > 0)
        return means

    def _losses(self, token_ids: NDArray[np.int64], own: NDArray[np.bool_]) -> list[float]:
        """Summed negative log-likelihood of the own tokens of each window."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(token_ids).to(self.model.device)
            wanted = torch.from_numpy(own[:, 1:]).to(self.model.device)
            logits = self.model(input_ids=ids, use_cache=False).logits[:, :-1]
            of_tokens = torch.zeros(wanted.shape, dtype=torch.float64, device=wanted.device)
            of_tokens[wanted] = torch.nn.functional.cross_entropy(
                logits[wanted].float(), ids[:, 1:][wanted], reduction="none"
            ).double()
            summed: list[float] = of_tokens.sum(dim=1).tolist()
        return summed
