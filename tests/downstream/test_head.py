"""A head over known vectors: a linear layer, whose tokens are numbers of rows, started by the seed."""

from __future__ import annotations

import torch
import transformers

from fac_datasets.downstream.head import HeadOverStates


def test_it_gives_the_product_of_weights_and_the_vector_of_each_row() -> None:
    states = torch.randn(5, 8)
    head = HeadOverStates(states, n_labels=2)
    torch.testing.assert_close(head(torch.tensor([[4], [0]])).logits, states[[4, 0]] @ head.score.weight.T)


def test_only_its_weights_are_trained() -> None:
    head = HeadOverStates(torch.randn(5, 8), n_labels=1)
    assert [name for name, one in head.named_parameters() if one.requires_grad] == ["score.weight"]


def test_the_seed_decides_where_it_starts() -> None:
    def start(seed: int) -> torch.Tensor:
        transformers.set_seed(seed)
        weight: torch.Tensor = HeadOverStates(torch.zeros(1, 8), n_labels=1).score.weight
        return weight

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))
