"""Entropy of the spectrum of a kernel of unit vectors: exact where it is small, else estimated with a stated error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_SIZE = 4096
"""Rows or dimensions, whichever are fewer, up to which the spectrum is computed in full."""

_LEADING = 64
"""Eigenvalues that are computed one by one where the spectrum is not."""

_PROBES = 32
"""Random vectors that the rest of the spectrum is estimated with."""

_STEPS = 48
"""Steps of Lanczos for each of them."""

_BLOCK_ROWS = 4096


def spectral_entropy(units: Any, seed: int = 0) -> tuple[float, float]:
    """Entropy of the eigenvalues of K / n, K = U U', whose sum is 1, and the standard error of it.

    K has the eigenvalues of U' U and zeros, so the smaller of the two is used, and it is exact up to `EXACT_SIZE`. For
    more the leading eigenvalues are computed, and the trace of -A log A over the space that they leave is estimated
    from random vectors by Lanczos quadrature (Ubaru, Chen and Saad 2017), with the trace of A, which is known, as a
    control variate.

    Args:
        units: unit vectors, [n, d], an array or a sparse matrix of scipy.
        seed: of the random vectors.

    Returns:
        The entropy in nats, and its standard error, 0 where it is exact.
    """
    n, d = units.shape
    if min(n, d) <= EXACT_SIZE:
        return _entropy(np.linalg.eigvalsh(_smaller_product(units) / n)), 0.0
    return _estimated(units, np.random.default_rng(seed))


def _smaller_product(units: Any) -> NDArray[np.float64]:
    n, d = units.shape
    if n < d:
        exact = units.astype(np.float64)
        return _dense(exact @ exact.T)
    total = np.zeros((d, d))
    for start in range(0, n, _BLOCK_ROWS):
        block = units[start : start + _BLOCK_ROWS].astype(np.float64)
        total += _dense(block.T @ block)
    return total


def _dense(product: Any) -> NDArray[np.float64]:
    dense: NDArray[np.float64] = product.toarray() if hasattr(product, "toarray") else product
    return dense


def _entropy(eigenvalues: NDArray[np.float64]) -> float:
    return float(_terms(eigenvalues).sum())


def _terms(eigenvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    # Rounding makes eigenvalues of 0 slightly negative.
    held = np.where(eigenvalues > 0, eigenvalues, 1.0)
    return -held * np.log(held)


def _estimated(units: Any, generator: np.random.Generator) -> tuple[float, float]:
    from scipy.sparse.linalg import LinearOperator, eigsh

    n, d = units.shape
    size = min(n, d)

    def product(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (units.T @ (units @ vectors) if d <= n else units @ (units.T @ vectors)) / n
        return result

    operator = LinearOperator((size, size), matvec=product, matmat=product, dtype=np.float64)
    # Deflation: the leading eigenvalues make estimates vary most between probes, so they are computed, and only the
    # space that they leave is estimated.
    leading, directions = eigsh(operator, _LEADING, v0=generator.standard_normal(size))

    def rest(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        left: NDArray[np.float64] = vectors - directions @ (directions.T @ vectors)
        return left

    # Signs instead of normal numbers: z'Az has the least variance then (Hutchinson 1990).
    start = rest(generator.choice([-1.0, 1.0], (size, _PROBES)))
    lengths = np.linalg.norm(start, axis=0)
    diagonal, beside = _lanczos(product, rest, start / lengths)
    squares = lengths**2
    estimates = np.empty(_PROBES)
    for probe in range(_PROBES):
        tridiagonal = np.diag(diagonal[:, probe])
        tridiagonal += np.diag(beside[:-1, probe], 1) + np.diag(beside[:-1, probe], -1)
        # Gauss quadrature: the eigenvalues of the tridiagonal matrix are the nodes, the squared first entries of its
        # eigenvectors the weights (Golub and Welsch 1969; Ubaru, Chen and Saad 2017, algorithm 1).
        nodes, vectors = np.linalg.eigh(tridiagonal)
        estimates[probe] = squares[probe] * float(vectors[0] ** 2 @ _terms(nodes))
    # The same vectors' estimates of the trace of A, which is known, tell most of their error.
    traces = squares * diagonal[0]
    estimates -= estimates.mean() / traces.mean() * (traces - (1 - leading.sum()))
    return _entropy(leading) + float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(_PROBES))


def _lanczos(product: Any, rest: Any, vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Diagonals of the tridiagonal matrices of several starting vectors at once, [_STEPS, n_vectors] each."""
    diagonal, beside = [], []
    before, between = np.zeros_like(vectors), np.zeros(vectors.shape[1])
    for _ in range(_STEPS):
        # Taking the leading directions out again at each step, since rounding brings them back, and they would grow.
        following = rest(product(vectors)) - between * before
        diagonal.append((following * vectors).sum(axis=0))
        following -= diagonal[-1] * vectors
        between = np.linalg.norm(following, axis=0)
        beside.append(between)
        before, vectors = vectors, following / np.where(between > 0, between, 1.0)
    return np.array(diagonal), np.array(beside)
