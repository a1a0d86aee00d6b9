"""Encoding and pooling in one: of each row and feature, the strongest activation and the token where it stands.

Tokens are encoded in chunks, and of each chunk only what can still be a row's maximum is kept, so no tensor of
[tokens, d_sae] exists. Beside the residual vectors, 4 * max(2^23, d_sae) bytes are taken for pre-activations, which is
32 MiB for every SAE of less than 8 million features, and at most 100 bytes for each active feature of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fac_datasets.sae.architectures import ActiveFeatures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.sae.model import SparseAutoencoder

_CHUNK_ELEMENTS = 1 << 23
"""Pre-activations held at once."""

_LAST = (1 << 32) - 1


class Peaks(NamedTuple):
    """The strongest activation of each feature in each row, sorted by row and feature."""

    rows: NDArray[np.int64]
    """Row of each peak, [n]."""
    ids: NDArray[np.int64]
    """Feature of each peak, [n]."""
    values: NDArray[np.float32]
    """Activation at the peak, [n]."""
    positions: NDArray[np.int64]
    """Index of the peak's token among all own tokens of the batch, [n]; the earliest of equal ones."""


class RankedPeaks(NamedTuple):
    """Peaks as pairs of integers that sort and compare by themselves, on any device."""

    keys: Tensor
    """row * d_sae + feature, [n], rising."""
    ranks: Tensor
    """Bits of the activation above the bits of the reversed position, [n]; the larger is the peak."""


def row_peaks(
    sae: SparseAutoencoder, vectors: Tensor, rows: Tensor, positions: Tensor, cutoffs: Tensor, activation: str
) -> RankedPeaks:
    """The peaks of tokens that lie above the cut-offs.

    Args:
        sae: on the device of the vectors.
        vectors: residual vectors, [n_tokens, d_in].
        rows: row of each token, [n_tokens]; the tokens of a row need not stand together.
        positions: what tells the token of a peak, [n_tokens], in [0, 2^32).
        cutoffs: one a feature, at least 0, [d_sae].
        activation: `"sae"` or `"relu"`.
    """
    d_sae = sae.config.d_sae
    chunk = max(1, _CHUNK_ELEMENTS // d_sae)
    bias = sae.encoder_bias()
    found = []
    for start in range(0, len(vectors), chunk):
        part = slice(start, start + chunk)
        active = _active(sae, vectors[part], bias, rows[part], activation)
        kept = active.values > cutoffs[active.ids]
        tokens, ids, values = (tensor[kept] for tensor in active)
        # The bits of a float that is not negative, read as an integer, order as the float does (IEEE 754), so one
        # maximum of integers finds activation and token at once. Positions are reversed: of equal activations the
        # earliest wins, whatever the order of batches.
        ranks = (values.view(torch.int32).long() << 32) | (_LAST - positions[part][tokens])
        found.append(strongest(RankedPeaks(rows[part][tokens] * d_sae + ids, ranks)))
    return found[0] if len(found) == 1 else strongest(joined(found))


def _active(sae: SparseAutoencoder, vectors: Tensor, bias: Tensor, rows: Tensor, activation: str) -> ActiveFeatures:
    """Active features of tokens: all of them, or only each row's strongest where that is the same."""
    pre = sae.pre_activations(vectors, bias)
    if activation == "sae" and not sae.architecture.commutes_with_max:
        return sae.architecture.active(pre, sae.threshold)
    parts = []
    for begin, end in _runs(rows):
        # Where the nonlinearity never falls, that of a row's maximum is the row's maximum of it: one nonlinearity a row
        # instead of one a token.
        values, where = pre[begin:end].max(dim=0)
        values = values.relu() if activation == "relu" else sae.architecture.encode(values, sae.threshold)
        ids = values.nonzero()[:, 0]
        parts.append((begin + where[ids], ids, values[ids]))
    return ActiveFeatures(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _runs(rows: Tensor) -> Iterator[tuple[int, int]]:
    """Where neighbouring tokens are of one row."""
    boundaries = (rows.diff().nonzero()[:, 0] + 1).tolist()
    yield from zip([0, *boundaries], [*boundaries, len(rows)], strict=True)


def strongest(peaks: RankedPeaks) -> RankedPeaks:
    """The peak of each key."""
    keys, inverse = torch.unique(peaks.keys, return_inverse=True)
    return RankedPeaks(keys, torch.zeros_like(keys).scatter_reduce_(0, inverse, peaks.ranks, "amax"))


def joined(parts: Sequence[RankedPeaks]) -> RankedPeaks:
    """Peaks of several groups of tokens, one behind the other."""
    if not parts:
        return RankedPeaks(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    return RankedPeaks(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def unpacked(peaks: RankedPeaks, d_sae: int) -> Peaks:
    """Peaks as arrays."""
    keys, ranks = (tensor.cpu().numpy() for tensor in peaks)
    return Peaks(
        rows=keys // d_sae,
        ids=keys % d_sae,
        values=(ranks >> 32).astype(np.int32).view(np.float32),
        positions=_LAST - (ranks & _LAST),
    )
