"""Each architecture has its own nonlinearity."""

from __future__ import annotations

import pytest
import torch

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.architectures import ARCHITECTURES, make_architecture


@pytest.mark.parametrize(
    ("name", "activations"),
    [
        ("topk", [1, 0, 3, 0]),
        ("groupmax", [1, 0, 3, 0]),
        ("relu", [1, 0, 3, 0.5]),
        ("jumprelu", [0, 0, 3, 0.5]),
    ],
)
def test_each_architecture_has_its_own_nonlinearity(name: str, activations: list[float]) -> None:
    pre = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    threshold = torch.tensor([1.0, 0.0, 2.5, 0.0])
    architecture = make_architecture(name, 4, 2 if ARCHITECTURES[name].takes_k else None)
    assert architecture.encode(pre, threshold).tolist() == [activations]
    tokens, ids, values = architecture.active(pre, threshold)
    again = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert again == {i: value for i, value in enumerate(activations) if value}
    assert tokens.tolist() == [0] * len(again)


@pytest.mark.parametrize(("name", "k", "message"), [("relu", 3, "k=3 has no meaning"), ("groupmax", 3, "3 groups")])
def test_a_k_that_does_not_fit_is_an_error(name: str, k: int, message: str) -> None:
    with pytest.raises(SAEFormatError, match=message):
        make_architecture(name, 4, k)
