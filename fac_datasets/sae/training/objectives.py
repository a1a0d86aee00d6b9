"""What each architecture is trained on: one class an architecture, on one base.

An objective turns a batch of normalised residual vectors into a loss with gradients. Where few features are active it
computes only with those: beside the encoder's product, a TopK step costs as much as its k features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from fac_datasets.errors import OptionError

if TYPE_CHECKING:
    from fac_datasets.sae.model import SparseAutoencoder
    from fac_datasets.sae.training.config import TrainingConfig


class Outcome(NamedTuple):
    """What an objective makes of a batch."""

    loss: Tensor
    """Scalar with gradients."""
    squared_error: Tensor
    """Of the reconstruction, summed over the width, mean over the batch; scalar."""
    l0: Tensor
    """Mean number of active features; scalar."""
    fired: Tensor
    """Features that were active in the batch, bool [d_sae]."""


class Objective(ABC):
    """The loss of an architecture.

    Args:
        config: settings of the run.
    """

    architecture: str
    """The architecture of the SAE that is trained."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, sae: SparseAutoencoder, vectors: Tensor, dead: Tensor, progress: float) -> Outcome:
        """Loss on a batch.

        Args:
            sae: in training.
            vectors: normalised residual vectors, [n_tokens, d_in].
            dead: features that have not fired for long, bool [d_sae].
            progress: share of the run that is done, in [0, 1).
        """


class TopK(Objective):
    """Fraction of variance unexplained, and dead features that explain the error (AuxK).

    L = |h - h'|^2 / var(h) + aux_weight |e - e'|^2 / var(h), where e = h - h' and e' is its reconstruction by the
    `aux_k` strongest dead features (Gao et al. 2024, arXiv 2406.04093, section 2.3 and appendix A.2; both terms are
    divided by the variance of the input).
    """

    architecture = "topk"

    def __call__(self, sae: SparseAutoencoder, vectors: Tensor, dead: Tensor, progress: float) -> Outcome:
        config = self.config
        values, ids = _strongest(sae, vectors, config.k)
        error = vectors - _reconstruct(sae, values, ids)
        squared_error = mean_square(error)
        variance = mean_square(vectors - vectors.mean(dim=0))
        loss = squared_error / variance
        found = dead.nonzero()[:, 0]
        if len(found) and config.aux_weight:
            pre = (vectors - sae.b_dec) @ sae.W_enc[:, found] + sae.b_enc[found]
            strongest, places = pre.topk(min(config.aux_k, len(found)), dim=-1)
            explained = _weighted_rows(sae.decoder[found], strongest.relu(), places)
            loss = loss + config.aux_weight * mean_square(error.detach() - explained) / variance
        return Outcome(loss, squared_error, *_usage(values, ids, config.d_sae))


class Reference(Objective):
    """TopK as the paper's authors train it: k falls over the first half, no loss for dead features.

    L = mean over tokens of |h - h'|^2 / |h|^2; k falls linearly from `k_start` to `k` over the first half of the run.
    """

    architecture = "topk"

    def __call__(self, sae: SparseAutoencoder, vectors: Tensor, dead: Tensor, progress: float) -> Outcome:
        start = self.config.k_start or self.config.k
        k = round(start + (self.config.k - start) * min(1.0, 2 * progress))
        values, ids = _strongest(sae, vectors, k)
        squared = (vectors - _reconstruct(sae, values, ids)).square().sum(dim=-1)
        loss = (squared / vectors.square().sum(dim=-1)).mean()
        return Outcome(loss, squared.mean(), *_usage(values, ids, self.config.d_sae))


class ReLU(Objective):
    """Fraction of variance unexplained, and the sum of activations (L1).

    L = (|h - h'|^2 + l1_weight sum_i z_i |W_dec_i|) / var(h); the weight rises over the first twentieth of the run
    (Templeton et al. 2024, "Scaling Monosemanticity", methods, where the loss is not divided by the variance, which to
    Adam is only a scale).
    """

    architecture = "relu"

    def __call__(self, sae: SparseAutoencoder, vectors: Tensor, dead: Tensor, progress: float) -> Outcome:
        activations = ((vectors - sae.b_dec) @ sae.W_enc + sae.b_enc).relu()
        squared_error = mean_square(vectors - activations @ sae.decoder - sae.b_dec)
        variance = mean_square(vectors - vectors.mean(dim=0))
        penalty = (activations.float() @ sae.decoder.norm(dim=-1)).mean()
        weight = self.config.l1_weight * min(1.0, progress / 0.05)
        active = activations > 0
        return Outcome(
            (squared_error + weight * penalty) / variance,
            squared_error,
            active.sum(dim=-1).float().mean(),
            active.any(dim=0),
        )


OBJECTIVES: dict[str, type[Objective]] = {"topk": TopK, "reference": Reference, "relu": ReLU}


def make_objective(config: TrainingConfig) -> Objective:
    """The objective that a run's settings name.

    Raises:
        OptionError: there is none of that name.
    """
    if config.objective not in OBJECTIVES:
        raise OptionError(f"objective={config.objective!r} is not known; known: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[config.objective](config)


def mean_square(vectors: Tensor) -> Tensor:
    """Mean over vectors of their squared norm, [n, d] -> scalar."""
    return vectors.square().sum(dim=-1).mean()


def _usage(values: Tensor, ids: Tensor, d_sae: int) -> tuple[Tensor, Tensor]:
    positive = values > 0
    fired = torch.zeros(d_sae, dtype=torch.bool, device=ids.device)
    fired[ids[positive]] = True
    return positive.sum(dim=-1).float().mean(), fired


def _strongest(sae: SparseAutoencoder, vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k strongest activations of each token, not negative, and their features: both [n_tokens, k]."""
    encode: Any = _SparseEncode.apply
    values, ids = encode(vectors, sae.W_enc, sae.b_enc, sae.b_dec, k)
    return values.relu(), ids


def _reconstruct(sae: SparseAutoencoder, values: Tensor, ids: Tensor) -> Tensor:
    return _weighted_rows(sae.decoder, values, ids) + sae.b_dec


def _weighted_rows(rows: Tensor, values: Tensor, ids: Tensor) -> Tensor:
    """The sum of rows [m, d_in] with weights [n, k] at indices [n, k], as [n, d_in]."""
    return embedding_bag(ids, rows.contiguous(), per_sample_weights=values.to(rows.dtype), mode="sum")


class _SparseEncode(torch.autograd.Function):
    """(x - b_dec) W_enc + b_enc at its k largest entries, with a backward pass over those entries only."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, center: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        # Centred first: in low precision a folded bias would cancel against a large product.
        pre = torch.addmm(bias, vectors - center, weight)
        values, ids = pre.topk(k, dim=-1, sorted=False)
        ctx.save_for_backward(vectors, weight, center, ids)
        ctx.mark_non_differentiable(ids)
        return values.to(vectors.dtype), ids

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        vectors, weight, center, ids = ctx.saved_tensors
        d_sae = weight.shape[1]
        flat = ids.flatten()
        of_values = gradients[0].flatten()
        of_bias = torch.zeros(d_sae, dtype=weight.dtype, device=weight.device).index_add(0, flat, of_values)
        # Each feature's gradient is a weighted sum of the vectors it was active in: bags of tokens, by feature.
        # A stable sort keeps tokens in order, so sums of floats come out the same in every run.
        by_feature = flat.argsort(stable=True)
        tokens = by_feature // ids.shape[1]
        ends = torch.bincount(flat, minlength=d_sae).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        of_weight = embedding_bag(
            tokens, vectors, offsets=starts, per_sample_weights=of_values[by_feature], mode="sum"
        ) - torch.outer(of_bias, center)
        return None, of_weight.T, of_bias, -(weight @ of_bias), None
