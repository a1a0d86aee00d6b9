"""Random SAEs: the control that shows what the trained directions are worth."""

from __future__ import annotations

from dataclasses import replace

import torch

from fac_datasets.errors import OptionError
from fac_datasets.sae.model import SparseAutoencoder


def random_sae(sae: SparseAutoencoder, *, k: int | None = None, seed: int = 0) -> SparseAutoencoder:
    """An SAE of the same shape, centre, scale and sparsity whose directions are random.

    Args:
        sae: to take shape, centre and scale from.
        k: active features a token, where the SAE has no k of its own; the random one is then TopK.
        seed: of the directions.

    Raises:
        OptionError: neither has a k.

    Example:
        >>> from fac_datasets.sae.random_control import random_sae
        >>> random_sae(load_sae("embedded")).config.k
        32
    """
    config = sae.config
    if config.k is None and k is None:
        raise OptionError(f"SAE {config.name} has no k; say how many features are active in a token with k=...")
    if config.k is None:
        config = replace(config, architecture="topk", k=k)
    other = SparseAutoencoder(replace(config, name=f"{config.name}-random"))
    directions = torch.randn(config.d_sae, config.d_in, generator=torch.Generator().manual_seed(seed))
    directions = torch.nn.functional.normalize(directions, dim=-1)
    with torch.no_grad():
        other.W_enc.copy_(directions.T)
        other.b_dec.copy_(sae.b_dec)
        if not config.tied:
            other.W_dec.copy_(directions)
    return other.requires_grad_(False)
