"""Windows of similar length run together, and what they all start with only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.backbone.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORTH_SHARING = 512
"""Tokens that a shared prefix must save."""


_PADDING = 0.05
"""A batch ends where more of it would be padding."""


_LEAST_BATCH = 256
"""Tokens of a batch up to which its padding does not matter."""


_PREFIX_COPIES = 4
"""Tokens of a batch with its copies of a shared prefix, in token budgets."""


class Batch(NamedTuple):
    """Windows of similar length that run together."""

    windows: list[Window]
    indices: list[int]
    """Index of each among the windows that were batched."""
    prefix: int
    """Leading tokens that are the same in all of them and need to run only once; 0 where that is not worth it."""

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two."""
        middle = len(self.windows) // 2
        return (
            Batch(self.windows[:middle], self.indices[:middle], self.prefix),
            Batch(self.windows[middle:], self.indices[middle:], self.prefix),
        )


def batches_by_tokens(windows: Sequence[Window], batch_tokens: int, *, share_prefixes: bool) -> Iterator[Batch]:
    """Group windows of similar length, so that a padded batch holds at most `batch_tokens` tokens and little padding.

    Args:
        windows: in any order.
        batch_tokens: most tokens of a batch, padding included; a longer window is a batch of its own.
        share_prefixes: find prefixes that need to run only once.

    Yields:
        The longest windows of each prefix first.
    """
    for prefix, indices in _by_prefix(windows) if share_prefixes else [(0, list(range(len(windows))))]:
        indices.sort(key=lambda i: (-len(windows[i].token_ids), i))
        start = 0
        while start < len(indices):
            lengths = np.array([len(windows[i].token_ids) for i in indices[start : start + batch_tokens]])
            chosen = indices[start : start + _batch_size(lengths, prefix, batch_tokens)]
            yield Batch([windows[i] for i in chosen], chosen, prefix)
            start += len(chosen)


def _batch_size(lengths: NDArray[np.int64], prefix: int, batch_tokens: int) -> int:
    """How many of the next windows, with falling lengths, run together; at least 1."""
    sizes = np.arange(1, len(lengths) + 1)
    padded = sizes * (lengths[0] - prefix)
    # Every row of a batch attends to a copy of the shared prefix, which takes less than running it, but takes memory.
    fits = (padded <= batch_tokens) & (sizes * lengths[0] <= _PREFIX_COPIES * batch_tokens)
    spare = padded <= (1 + _PADDING) * (lengths - prefix).cumsum()
    fits &= spare | (padded <= _LEAST_BATCH)
    return max(1, int(np.argmin(fits)) if not fits.all() else len(fits))


def _by_prefix(windows: Sequence[Window]) -> Iterator[tuple[int, list[int]]]:
    """The length of each prefix worth sharing, with the windows that start with it; the others with length 0."""
    same: dict[bytes, list[int]] = {}
    for i, window in enumerate(windows):
        same.setdefault(window.token_ids[: window.prefix].tobytes(), []).append(i)
    single: list[int] = []
    for indices in same.values():
        prefix = windows[indices[0]].prefix
        if prefix * (len(indices) - 1) >= WORTH_SHARING:
            yield prefix, indices
        else:
            single += indices
    if single:
        yield 0, single


def pad(windows: Sequence[Window], prefix: int = 0) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Token ids behind the prefix, padded on the right with 0, and whether each is an own token: [n_windows, longest].

    Attention is causal, so what stands on the right never reaches a real token.
    """
    longest = max(len(window.token_ids) for window in windows) - prefix
    token_ids = np.zeros((len(windows), longest), dtype=np.int64)
    own = np.zeros((len(windows), longest), dtype=bool)
    for i, window in enumerate(windows):
        token_ids[i, : len(window.token_ids) - prefix] = window.token_ids[prefix:]
        own[i, : len(window.own) - prefix] = window.own[prefix:]
    return token_ids, own
