"""What counts as fluent in a run: at least as likely as nearly all of what the generator writes without an aim."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.generation.local import LocalGenerator
from fac_datasets.synthesis.filters.fluency import highest_nll

if TYPE_CHECKING:
    import datasets

    from fac_datasets.backbone.likelihood import Likelihood
    from fac_datasets.feature_space import FeatureSpace
    from fac_datasets.generation.base import TextGenerator
    from fac_datasets.synthesis.kinds.base import DataKind

logger = logging.getLogger(__name__)

CALIBRATION_SAMPLES = 32
"""Unguided samples that say what counts as fluent."""


class Fluency(NamedTuple):
    """What counts as fluent; see `fac_datasets.synthesis.filters.fluency`."""

    nll: Any
    """Mean negative log-likelihood of each of some texts, under the unsteered backbone."""
    highest: float
    """What it may be at most."""


def likelihood_under(
    space: FeatureSpace, backbone: str, generator: TextGenerator, *, device: str | None, dtype: str
) -> Likelihood:
    """How likely texts are under the unsteered backbone; a generator that holds the same model lends it.

    Args:
        space: says how texts are rendered.
        backbone: `"embedded"`, a local folder or a Hub id.
        generator: that writes.
        device: torch device; by default CUDA where there is one.
        dtype: torch dtype, by name.
    """
    from fac_datasets.backbone.likelihood import Likelihood

    same_model = generator.name == space.backbone_name
    if isinstance(generator, LocalGenerator) and same_model and generator.dtype == dtype:
        return Likelihood(generator.model, generator.tokenizer, render=space.render)
    return Likelihood.load(backbone, render=space.render, device=device, dtype=dtype)


def calibrated(nll: Likelihood, kind: DataKind, unguided: datasets.Dataset) -> Fluency:
    """What counts as fluent by unguided samples; anything does, and a warning says so, where there are none.

    Args:
        nll: of texts.
        kind: of data.
        unguided: see `fac_datasets.synthesis.unguided.synthesize_unguided`.
    """
    texts = [sample.whole for sample in map(kind.sample_of, unguided) if sample is not None]
    likely = nll(texts) if texts else np.zeros(0)
    if not np.isfinite(likely).any():
        logger.warning("no unguided sample passed the filters, so that nothing says what is fluent, and none has to be")
        return Fluency(nll, math.inf)
    return Fluency(nll, highest_nll(likely))
