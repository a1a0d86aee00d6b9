"""Formats in which SAEs are stored, a file each; `fac_datasets.sae.loading` reads them all."""

from __future__ import annotations

from fac_datasets.files.variants import instances_in
from fac_datasets.sae.formats.base import SAEFormat

NATIVE = "native"
"""Name of this project's own format."""

FORMATS: dict[str, SAEFormat] = {
    format.name: format
    for format in sorted(instances_in(__name__, SAEFormat), key=lambda format: (format.name != NATIVE, format.name))
}
"""Every format by name, ours first; the first that recognises a folder reads it."""
