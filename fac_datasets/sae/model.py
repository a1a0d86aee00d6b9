"""The sparse autoencoder: from residual vectors to feature activations and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fac_datasets.backbone import BackboneInfo, tensors_digest
from fac_datasets.caching import write_atomically
from fac_datasets.errors import BackboneError, SAEFormatError, SAEMismatch

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass
class SAEConfig:
    """What an SAE is and where in which backbone it belongs."""

    d_in: int
    """Width of the residual stream."""
    d_sae: int
    """Number of features."""
    k: int
    """Features that may be active in a token (TopK)."""
    layer: int
    """Decoder blocks before the residual stream it reads."""
    name: str = "sae"
    """A name for people."""
    architecture: str = "topk"
    """`"topk"`."""
    input_scale: float = 1.0
    """Residual vectors are multiplied by this before encoding, so that their mean norm is the square root of d_in."""
    backbone: str = ""
    """Name of the backbone it was trained on."""
    backbone_digest: str = ""
    """Digest of that backbone."""
    training: dict[str, Any] = field(default_factory=dict)
    """Corpus, tokens, FVU, L0, dead share and settings of the training run."""


class ActiveFeatures(NamedTuple):
    """The k features that may be active in each token."""

    values: Tensor
    """Activations, [n_tokens, k], not negative, falling."""
    ids: Tensor
    """Feature ids, [n_tokens, k]."""


class SparseAutoencoder(nn.Module):
    """A TopK sparse autoencoder (Gao et al. 2024, arXiv 2406.04093, equations 1 to 3).

    z = TopK(ReLU((s h - b_dec) W_enc + b_enc)) and h' = (z W_dec + b_dec) / s, with h [d_in], z [d_sae] and the input
    scale s.

    Args:
        config: shape, sparsity and origin.

    Example:
        >>> sae = SparseAutoencoder(SAEConfig(d_in=8, d_sae=32, k=4, layer=1))
        >>> sae.encode(torch.randn(3, 8)).shape
        torch.Size([3, 32])
    """

    def __init__(self, config: SAEConfig) -> None:
        super().__init__()
        if config.architecture != "topk":
            raise SAEFormatError(f"architecture {config.architecture!r} is not known; known: 'topk'")
        if not 1 <= config.k <= config.d_sae:
            raise SAEFormatError(f"k={config.k} must lie in [1, d_sae={config.d_sae}]")
        self.config = config
        self.W_enc = nn.Parameter(torch.zeros(config.d_in, config.d_sae))
        self.b_enc = nn.Parameter(torch.zeros(config.d_sae))
        self.W_dec = nn.Parameter(torch.zeros(config.d_sae, config.d_in))
        self.b_dec = nn.Parameter(torch.zeros(config.d_in))

    def pre_activations(self, residual: Tensor) -> Tensor:
        """Activations before the nonlinearity, [..., d_in] -> [..., d_sae]."""
        # (x - b_dec) W + b_enc with the biases folded, so that the large product is the only pass over its output.
        bias = self.b_enc - self.b_dec @ self.W_enc
        scaled = residual.to(self.W_enc.dtype) * self.config.input_scale
        return torch.addmm(bias, scaled.reshape(-1, self.config.d_in), self.W_enc).reshape(
            *residual.shape[:-1], self.config.d_sae
        )

    def active_features(self, residual: Tensor) -> ActiveFeatures:
        """The k strongest features of each token, [n_tokens, d_in] -> [n_tokens, k]."""
        values, ids = self.pre_activations(residual).topk(self.config.k, dim=-1)
        return ActiveFeatures(values.relu(), ids)

    def encode(self, residual: Tensor) -> Tensor:
        """Feature activations, [..., d_in] -> [..., d_sae]."""
        values, ids = self.active_features(residual)
        return torch.zeros(*residual.shape[:-1], self.config.d_sae, dtype=values.dtype, device=values.device).scatter(
            -1, ids, values
        )

    def decode(self, activations: Tensor) -> Tensor:
        """Reconstructed residual vectors, [..., d_sae] -> [..., d_in]."""
        return (activations @ self.W_dec + self.b_dec) / self.config.input_scale

    def forward(self, residual: Tensor) -> Tensor:
        """Reconstruction of residual vectors, [..., d_in] -> [..., d_in]."""
        return self.decode(self.encode(residual))

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors`.

        Args:
            folder: made when missing.
            dtype: of the saved weights; float16 halves the file.
        """
        tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in self.state_dict().items()}
        write_atomically(Path(folder) / WEIGHTS_FILE, save(tensors))
        config = json.dumps(dataclasses.asdict(self.config), indent=2) + "\n"
        write_atomically(Path(folder) / CONFIG_FILE, config.encode())

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> SparseAutoencoder:
        """Load an SAE saved by `save_pretrained`, from a folder or a Hub id, in float32.

        Raises:
            SAEFormatError: a file is missing or damaged, or the weights do not fit the configuration.
        """
        folder = sae_folder(name_or_path)
        config = read_config(folder)
        sae = cls(config)
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
            sae.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except (SafetensorError, RuntimeError, OSError) as error:
            # All mean that the file is not what the configuration says.
            raise SAEFormatError(f"{folder / WEIGHTS_FILE} cannot be read as an SAE of {config}: {error}") from error
        return sae.eval().requires_grad_(False)


def sae_folder(name_or_path: str | Path) -> Path:
    """The local folder of an SAE: the embedded one, a folder, or a Hub repository that is fetched."""
    from fac_datasets.embedded import EMBEDDED_SAE_FOLDER

    if name_or_path == "embedded":
        return EMBEDDED_SAE_FOLDER
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(str(name_or_path)))
    except (HFValidationError, RepositoryNotFoundError, LocalEntryNotFoundError, OSError) as error:
        raise SAEFormatError(f"SAE {str(name_or_path)!r} is no folder, and the Hub did not give it: {error}") from error


def read_config(folder: Path) -> SAEConfig:
    """The configuration in an SAE's folder, without its weights."""
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise SAEFormatError(
                f"{folder} holds no SAE: looked for {CONFIG_FILE} and {WEIGHTS_FILE}, {file} is missing"
            )
    try:
        return SAEConfig(**json.loads((folder / CONFIG_FILE).read_text()))
    except (TypeError, ValueError) as error:
        raise SAEFormatError(f"{folder / CONFIG_FILE} is not an SAE's configuration: {error}") from error


def require_match(config: SAEConfig, info: BackboneInfo, layer: int) -> None:
    """Raise unless an SAE belongs to a backbone and layer.

    Raises:
        BackboneError: the backbone has fewer blocks than `layer`.
        SAEMismatch: the SAE is of another width, layer or backbone.
    """
    if layer > info.n_layers:
        raise BackboneError(f"layer={layer} is past the end of {info.name}, which has {info.n_layers} decoder blocks")
    if config.d_in != info.d_model:
        raise SAEMismatch(
            f"SAE {config.name} reads residual vectors of width {config.d_in}, but {info.name} has width "
            f"{info.d_model}; it was trained on {config.backbone or 'another backbone'}"
        )
    if layer != config.layer:
        raise SAEMismatch(f"SAE {config.name} was trained on layer {config.layer}, not on layer={layer}")
    if config.backbone_digest and config.backbone_digest != info.digest:
        raise SAEMismatch(
            f"SAE {config.name} was trained on {config.backbone}@{config.backbone_digest}; this backbone is "
            f"{info.name}@{info.digest}"
        )


def sae_digest(folder: Path) -> str:
    """First 16 hex digits of the sha256 over everything that changes an SAE's activations."""
    config = read_config(folder)
    digest = hashlib.sha256(tensors_digest([folder / WEIGHTS_FILE]).encode())
    digest.update(json.dumps([config.architecture, config.d_in, config.d_sae, config.k, config.input_scale]).encode())
    return digest.hexdigest()[:16]
