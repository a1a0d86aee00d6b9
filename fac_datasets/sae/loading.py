"""SAEs of every supported format become one class: `load_sae`."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError

from fac_datasets.errors import OptionError, SAEFormatError
from fac_datasets.files.digests import remembered_digest, sha256, tensors_digest
from fac_datasets.sae.formats import FORMATS, NATIVE
from fac_datasets.sae.formats.base import SAEFormat
from fac_datasets.sae.location import sae_place
from fac_datasets.sae.model import SAEConfig, SparseAutoencoder


class FoundSAE(NamedTuple):
    """An SAE on disk, described without loading its weights."""

    folder: Path
    weights: Path
    """File with the weights."""
    format: SAEFormat
    config: SAEConfig

    @property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over everything that changes the SAE's activations."""
        config = self.config
        of_file = tensors_digest if self.weights.suffix == ".safetensors" else lambda files: sha256(files[0])
        digest = hashlib.sha256(remembered_digest([self.weights], of_file).encode())
        decisive = [config.architecture, config.d_in, config.d_sae, config.k, config.input_scale]
        digest.update(json.dumps(decisive).encode())
        variants = {"tied": False, "subtract_b_dec": True, "normalization": "scale"}
        chosen = {name: getattr(config, name) for name, usual in variants.items() if getattr(config, name) != usual}
        if chosen:
            digest.update(json.dumps(chosen).encode())
        if self.format.name != NATIVE:
            digest.update(self.format.name.encode())
        if self.format.config_file and self.format.name != NATIVE:
            # Foreign configurations hold more that decides, such as units of the decoder's norm.
            digest.update((self.folder / self.format.config_file).read_bytes())
        return digest.hexdigest()[:16]

    def load(self) -> SparseAutoencoder:
        """The SAE in float32, frozen.

        Raises:
            SAEFormatError: the weights are damaged, not finite, or do not fit the configuration.
        """
        sae = SparseAutoencoder(self.config)
        try:
            tensors = self.format.tensors(self.weights)
            sae.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except (SafetensorError, RuntimeError, OSError, KeyError) as error:
            # All mean that the file is not what the configuration says.
            raise SAEFormatError(
                f"{self.weights} cannot be read as a {self.config.architecture} SAE of {self.config.d_sae} features on "
                f"{self.config.d_in} inputs (format {self.format.name!r}): {error}"
            ) from error
        damaged = [name for name, tensor in sae.state_dict().items() if not torch.isfinite(tensor).all()]
        if damaged:
            raise SAEFormatError(
                f"{self.weights} holds values in {', '.join(damaged)} that are not finite; fetch or train it again"
            )
        return sae.eval().requires_grad_(False)


def find_sae(name_or_path: str | Path, format: str | None = None) -> FoundSAE:
    """Find an SAE and read what it is, without its weights; see `load_sae`."""
    if format is not None and format not in FORMATS:
        raise OptionError(f"format={format!r} is not known; known: {', '.join(FORMATS)}")
    place = sae_place(name_or_path, [known.weights_file for known in FORMATS.values()])
    candidates = [FORMATS[format]] if format else list(FORMATS.values())
    for candidate in candidates:
        weights = candidate.find(place)
        if weights is not None:
            config = candidate.config(weights)
            config.check()
            if candidate.name != NATIVE and not Path(name_or_path).exists():
                # What is fetched lies in folders whose names say nothing.
                config.name = re.sub(r"[^\w.-]+", "-", str(name_or_path))
            return FoundSAE(weights.parent, weights, candidate, config)
    looked_for = "; ".join(f"{candidate.looks_for} ({candidate.name})" for candidate in candidates)
    below = sorted(
        {path.parent.relative_to(place).as_posix() for f in candidates for path in place.glob(f"*/**/{f.weights_file}")}
    )
    inside = f". Folders inside hold some; name one of them: {', '.join(below[:12])}" if below else ""
    raise SAEFormatError(f"{place} holds no SAE: looked for {looked_for}{inside}")


def load_sae(name_or_path: str | Path, format: str | None = None) -> SparseAutoencoder:
    """Load an SAE of any supported format, in float32.

    Args:
        name_or_path: `"embedded"`; a folder, or a file in it; a Hub id with optional `:subfolder` and `@revision`; or,
            where the package `sae-lens` is installed, `release:sae_id` of a release that it knows.
        format: a name in `FORMATS`; by default the one that the files tell.

    Returns:
        The SAE; its `config` holds the layer in this project's counting, the hook, the backbone and the normalisation.

    Raises:
        OptionError: there is no format of that name.
        SAEFormatError: no SAE is there, it is damaged, or it does not read the residual stream.

    Example:
        >>> load_sae("embedded").config.d_in
        576
    """
    return find_sae(name_or_path, format).load()
