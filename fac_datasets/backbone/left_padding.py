"""Token ids padded on the left, so that what is decoded next stands in one column."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def pad_left(encoded: Sequence[Sequence[int]], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids padded with 0, and the attention mask that leaves the padding out, [n, longest].

    Args:
        encoded: token ids of each text.
        device: of the result.

    Example:
        >>> tokens, mask = pad_left([[5, 6, 7], [8]], "cpu")
        >>> tokens.tolist(), mask.tolist()
        ([[5, 6, 7], [0, 0, 8]], [[1, 1, 1], [0, 0, 1]])
    """
    longest = max(len(token_ids) for token_ids in encoded)
    tokens = torch.zeros(len(encoded), longest, dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for i, token_ids in enumerate(encoded):
        tokens[i, longest - len(token_ids) :] = torch.tensor(token_ids)
        mask[i, longest - len(token_ids) :] = 1
    return tokens.to(device), mask.to(device)


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """Position of each token, counted from the first that is no padding, [n, longest].

    Example:
        >>> positions_of(torch.tensor([[0, 0, 1, 1]])).tolist()
        [[0, 0, 0, 1]]
    """
    return (mask.cumsum(dim=1) - 1).clamp(min=0)
