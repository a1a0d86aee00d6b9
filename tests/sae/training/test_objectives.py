"""Every objective, compared with dense matrices and with the paper."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fac_datasets import SparseAutoencoder, TrainingConfig
from fac_datasets.errors import OptionError
from fac_datasets.sae.model import SAEConfig
from fac_datasets.sae.training.objectives import Reference, TopK, make_objective
from tests.sae.training.cases import (
    SMALL,
)


def random_sae(tied: bool) -> SparseAutoencoder:
    torch.manual_seed(0)
    sae = SparseAutoencoder(SAEConfig(d_in=12, d_sae=40, k=5, layer=1, tied=tied)).double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return sae


def dense_topk_loss(sae: SparseAutoencoder, vectors: torch.Tensor, k: int) -> torch.Tensor:
    """The reconstruction by k features, written out with dense matrices."""
    pre = (vectors - sae.b_dec) @ sae.W_enc + sae.b_enc
    values, ids = pre.topk(k, dim=-1)
    reconstruction = torch.zeros_like(pre).scatter(-1, ids, values.relu()) @ sae.decoder + sae.b_dec
    squared: torch.Tensor = (vectors - reconstruction).square().sum(dim=-1)
    return squared


@pytest.mark.parametrize("tied", [False, True])
def test_the_sparse_gradients_are_those_of_dense_matrices(tied: bool) -> None:
    sae = random_sae(tied)
    vectors = torch.randn(30, 12, dtype=torch.float64)
    variance = (vectors - vectors.mean(dim=0)).square().sum(dim=-1).mean()
    torch.autograd.backward(dense_topk_loss(sae, vectors, 5).mean() / variance)
    expected = [parameter.grad for parameter in sae.parameters()]
    sae.zero_grad()
    config = dataclasses.replace(SMALL, d_sae=40, k=5)
    outcome = TopK(config)(sae, vectors, torch.zeros(40, dtype=torch.bool), 0.5)
    torch.autograd.backward(outcome.loss)
    for gradient, parameter in zip(expected, sae.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_dead_features_learn_from_the_error_alone() -> None:
    sae = random_sae(tied=False)
    with torch.no_grad():
        # Too weak to be among the strongest.
        sae.W_enc[:, :10] *= 0.1
        sae.b_enc[:10] = 0
    dead = torch.zeros(40, dtype=torch.bool)
    dead[:10] = True
    vectors = torch.randn(30, 12, dtype=torch.float64)
    for weight in (0.0, 1 / 32):
        sae.zero_grad()
        config = dataclasses.replace(SMALL, d_sae=40, k=5, aux_k=4, aux_weight=weight)
        torch.autograd.backward(TopK(config)(sae, vectors, dead, 0.5).loss)
        assert sae.W_dec.grad is not None
        assert bool(sae.W_dec.grad[:10].any()) == bool(weight)


def test_the_reference_recipe_is_that_of_the_paper() -> None:
    config = TrainingConfig.preset("reference")
    assert (config.d_sae, config.k_start, config.k, config.tied) == (65_536, 200, 20, True)
    assert (config.learning_rate, config.epsilon, config.warmup, config.decay) == (1e-3, 6.25e-10, 0, 0)
    assert (config.renders, config.max_length, config.truncate) == (("chat",), 256, True)
    assert not config.normalize_input
    assert not config.unit_norm


@pytest.mark.parametrize(("progress", "k"), [(0.0, 20), (0.25, 14), (0.4999, 8), (0.5, 8), (0.9, 8)])
def test_the_reference_anneals_k_over_the_first_half(progress: float, k: int) -> None:
    sae = random_sae(tied=True)
    vectors = torch.randn(30, 12, dtype=torch.float64)
    config = TrainingConfig.preset("reference", d_sae=40, k_start=20, k=8)
    outcome = Reference(config)(sae, vectors, torch.zeros(40, dtype=torch.bool), progress)
    expected = (dense_topk_loss(sae, vectors, k) / vectors.square().sum(dim=-1)).mean()
    torch.testing.assert_close(outcome.loss, expected)


def test_an_unknown_objective_or_preset_is_an_error() -> None:
    with pytest.raises(OptionError, match="known: topk, reference, relu"):
        make_objective(dataclasses.replace(SMALL, objective="gated"))
    with pytest.raises(OptionError, match="known: default, reference"):
        TrainingConfig.preset("best")
