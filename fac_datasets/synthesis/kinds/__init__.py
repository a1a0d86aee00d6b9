"""Kinds of synthetic data, a file each."""

from __future__ import annotations

from fac_datasets.errors import SynthesisError
from fac_datasets.files.variants import instances_in
from fac_datasets.synthesis.kinds.base import DataKind

KINDS: dict[str, DataKind] = {kind.name: kind for kind in instances_in(__name__, DataKind)}
"""Every kind by name."""


def data_kind(name: str) -> DataKind:
    """The kind of that name.

    Raises:
        SynthesisError: there is no such kind.
    """
    if name not in KINDS:
        raise SynthesisError(f"there is no data kind {name!r}; there are {sorted(KINDS)}")
    return KINDS[name]
