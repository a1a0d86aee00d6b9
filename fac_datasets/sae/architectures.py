"""What makes pre-activations activations: one class an architecture, on one base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from fac_datasets.errors import SAEFormatError


class ActiveFeatures(NamedTuple):
    """The features that are active in tokens, by token."""

    tokens: Tensor
    """Index of the token of each activation, [n], rising."""
    ids: Tensor
    """Feature of each activation, [n]."""
    values: Tensor
    """Activations, [n], above 0."""


class Architecture(ABC):
    """The nonlinearity of an SAE.

    Args:
        d_sae: number of features.
        k: features that may be active in a token, where the architecture limits them.

    Raises:
        SAEFormatError: k does not fit.
    """

    takes_k = False
    """Whether `k` limits the active features."""
    has_threshold = False
    """Whether the SAE stores a threshold a feature."""
    commutes_with_max = False
    """Whether a feature's activation depends on its own pre-activation alone and never falls as that rises, so that
    the activation of a maximum is the maximum of the activations."""

    def __init__(self, d_sae: int, k: int | None) -> None:
        self.d_sae, self.k = d_sae, k or d_sae
        if not self.takes_k and k is not None:
            raise SAEFormatError(f"k={k} has no meaning for {type(self).__name__}")
        if self.takes_k and not 1 <= (k or 0) <= d_sae:
            raise SAEFormatError(f"k={k} must lie in [1, d_sae={d_sae}]")

    @abstractmethod
    def encode(self, pre: Tensor, threshold: Tensor | None) -> Tensor:
        """Activations of pre-activations, both [..., d_sae]."""

    def active(self, pre: Tensor, threshold: Tensor | None) -> ActiveFeatures:
        """The active features of pre-activations, [n_tokens, d_sae]."""
        activations = self.encode(pre, threshold)
        tokens, ids = activations.nonzero(as_tuple=True)
        return ActiveFeatures(tokens, ids, activations[tokens, ids])


class ReLU(Architecture):
    """Every positive pre-activation."""

    commutes_with_max = True

    def encode(self, pre: Tensor, threshold: Tensor | None) -> Tensor:
        return pre.relu()


class JumpReLU(Architecture):
    """Pre-activations above a feature's own threshold (Rajamanoharan et al. 2024, arXiv 2407.14435, equation 2)."""

    has_threshold = True
    commutes_with_max = True

    def encode(self, pre: Tensor, threshold: Tensor | None) -> Tensor:
        assert threshold is not None
        return pre.relu() * (pre > threshold)


class _Limited(Architecture):
    """At most k features a token, found without a dense tensor."""

    takes_k = True

    @abstractmethod
    def strongest(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """The k features that may be active, and their activations: values and ids, both [..., k]."""

    def encode(self, pre: Tensor, threshold: Tensor | None) -> Tensor:
        values, ids = self.strongest(pre)
        return torch.zeros_like(pre).scatter(-1, ids, values)

    def active(self, pre: Tensor, threshold: Tensor | None) -> ActiveFeatures:
        values, ids = self.strongest(pre)
        tokens, places = (values > 0).nonzero(as_tuple=True)
        return ActiveFeatures(tokens, ids[tokens, places], values[tokens, places])


class TopK(_Limited):
    """The k largest positive pre-activations (Gao et al. 2024, arXiv 2406.04093, equation 1)."""

    def strongest(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        values, ids = pre.topk(self.k, dim=-1)
        return values.relu(), ids


class GroupMax(_Limited):
    """The largest positive pre-activation of each of k groups of neighbouring features."""

    def __init__(self, d_sae: int, k: int | None) -> None:
        super().__init__(d_sae, k)
        if d_sae % self.k:
            raise SAEFormatError(f"d_sae={d_sae} cannot be divided into k={k} groups")

    def strongest(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        values, places = pre.reshape(*pre.shape[:-1], self.k, -1).max(dim=-1)
        first = torch.arange(self.k, device=pre.device) * (self.d_sae // self.k)
        return values.relu(), first + places


ARCHITECTURES: dict[str, type[Architecture]] = {
    "topk": TopK,
    "groupmax": GroupMax,
    "relu": ReLU,
    "jumprelu": JumpReLU,
}


def make_architecture(name: str, d_sae: int, k: int | None) -> Architecture:
    """The architecture of that name.

    Raises:
        SAEFormatError: there is none, or k does not fit it.
    """
    if name not in ARCHITECTURES:
        raise SAEFormatError(f"architecture {name!r} is not known; known: {', '.join(map(repr, ARCHITECTURES))}")
    return ARCHITECTURES[name](d_sae, k)
