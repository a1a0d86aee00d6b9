"""Keys and values of tokens that many rows start with, held once for all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class _SharedLayer(DynamicLayer):
    """One layer's keys and values of the prefix, to which no row adds anything."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = self.prefix = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = (part.expand(len(key_states), -1, -1, -1) for part in self.prefix)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


def keeps_all_tokens(config: PreTrainedConfig) -> bool:
    """Whether a model keeps the keys and values of all tokens, unlike those with a sliding window or a state."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def shared_by_rows(cache: Cache) -> Cache:
    """The key-value cache of one row, of a model that keeps all tokens, as the beginning of any number of rows."""
    filled: Any = cache.layers
    return Cache(layers=[_SharedLayer(layer.keys, layer.values) for layer in filled])
