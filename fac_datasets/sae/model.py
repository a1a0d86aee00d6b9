"""The sparse autoencoder: from residual vectors to feature activations and back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from fac_datasets.backbone.identity import BackboneInfo
from fac_datasets.errors import BackboneError, OptionError, SAEFormatError, SAEMismatch
from fac_datasets.files.atomic import write_atomically
from fac_datasets.sae.architectures import ActiveFeatures, Architecture, make_architecture

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


NORMALIZATIONS = ("scale", "constant_norm", "layer_norm")

_EPSILON = {"constant_norm": 0.0, "layer_norm": 1e-5}
"""What SAELens adds to the divisor when encoding, and not when decoding."""


@dataclass
class SAEConfig:
    """What an SAE is and where in which backbone it belongs."""

    d_in: int
    """Width of the residual stream."""
    d_sae: int
    """Number of features."""
    layer: int
    """Decoder blocks before the residual stream it reads."""
    architecture: str = "topk"
    """`"topk"`, `"groupmax"`, `"relu"` or `"jumprelu"`."""
    k: int | None = None
    """Features that may be active in a token: the k largest, or the largest of each of k groups (GroupMax)."""
    tied: bool = False
    """Whether W_dec is W_enc transposed, and not stored."""
    subtract_b_dec: bool = True
    """Whether b_dec is subtracted before encoding."""
    normalization: str = "scale"
    """Of residual vectors before encoding: `"scale"` (times `input_scale`), `"constant_norm"` (each to the norm
    sqrt(d_in)) or `"layer_norm"` (each to mean 0 and variance 1)."""
    input_scale: float = 1.0
    """Factor of `"scale"`; training chooses it so that the mean norm is sqrt(d_in)."""
    name: str = "sae"
    """A name for people."""
    hook: str = ""
    """Where a foreign SAE reads, under its owner's name."""
    backbone: str = ""
    """Name of the backbone it was trained on."""
    backbone_digest: str = ""
    """Digest of that backbone."""
    training: dict[str, Any] = field(default_factory=dict)
    """Corpus, tokens, FVU, L0, dead share and settings of the training run."""

    def check(self) -> Architecture:
        """The architecture that this describes; raises SAEFormatError where it describes none."""
        if self.normalization not in NORMALIZATIONS:
            known = ", ".join(map(repr, NORMALIZATIONS))
            raise SAEFormatError(f"normalization {self.normalization!r} is not known; known: {known}")
        if not 0 < self.input_scale < math.inf:
            raise SAEFormatError(f"input_scale={self.input_scale} is no positive number")
        return make_architecture(self.architecture, self.d_sae, self.k)


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder: TopK, GroupMax, ReLU or JumpReLU.

    z = f(n(h) W_enc + b_enc) and h' = n^-1(z W_dec + b_dec), with h [d_in] and z [d_sae]; n normalises (and subtracts
    b_dec, where the SAE was trained so), and f is the nonlinearity of its architecture.

    Args:
        config: shape, sparsity and origin.

    Raises:
        SAEFormatError: the configuration describes no SAE.

    Example:
        >>> sae = SparseAutoencoder(SAEConfig(d_in=8, d_sae=32, k=4, layer=1))
        >>> sae.encode(torch.randn(3, 8)).shape
        torch.Size([3, 32])
    """

    threshold: Tensor | None

    def __init__(self, config: SAEConfig) -> None:
        super().__init__()
        self.architecture = config.check()
        self.config = config
        self.W_enc = nn.Parameter(torch.zeros(config.d_in, config.d_sae))
        self.b_enc = nn.Parameter(torch.zeros(config.d_sae))
        if not config.tied:
            self.W_dec = nn.Parameter(torch.zeros(config.d_sae, config.d_in))
        self.b_dec = nn.Parameter(torch.zeros(config.d_in))
        self.register_buffer("threshold", torch.zeros(config.d_sae) if self.architecture.has_threshold else None)

    @property
    def decoder(self) -> Tensor:
        """Direction of each feature in the residual stream, [d_sae, d_in]; W_enc transposed where tied."""
        return self.W_enc.T if self.config.tied else self.W_dec

    def normalize(self, residual: Tensor) -> Tensor:
        """Residual vectors as the SAE was trained to see them, [..., d_in]."""
        residual = residual.to(self.W_enc.dtype)
        if self.config.normalization == "scale":
            return residual * self.config.input_scale
        shift, factor = self._token_normalization(residual)
        return (residual - shift) / (factor + _EPSILON[self.config.normalization])

    def _token_normalization(self, residual: Tensor) -> tuple[Tensor | float, Tensor]:
        if self.config.normalization == "constant_norm":
            return 0.0, residual.norm(dim=-1, keepdim=True) / math.sqrt(self.config.d_in)
        # SAELens divides by the unbiased standard deviation.
        return residual.mean(dim=-1, keepdim=True), residual.std(dim=-1, keepdim=True)

    def encoder_bias(self) -> Tensor:
        """What pre-activations start from, [d_sae]: b_enc, less b_dec W_enc where the SAE subtracts b_dec first."""
        return self.b_enc - self.b_dec @ self.W_enc if self.config.subtract_b_dec else self.b_enc

    def pre_activations(self, residual: Tensor, bias: Tensor | None = None) -> Tensor:
        """Activations before the nonlinearity, [..., d_in] -> [..., d_sae].

        Args:
            residual: vectors of the residual stream.
            bias: of `encoder_bias`, for callers who come often.
        """
        # (x - b_dec) W + b_enc with the biases folded, so that the large product is the only pass over its output.
        bias = self.encoder_bias() if bias is None else bias
        normalized = self.normalize(residual)
        return torch.addmm(bias, normalized.reshape(-1, self.config.d_in), self.W_enc).reshape(
            *residual.shape[:-1], self.config.d_sae
        )

    def active_features(self, residual: Tensor) -> ActiveFeatures:
        """The active features of each token, [n_tokens, d_in]."""
        return self.architecture.active(self.pre_activations(residual), self.threshold)

    def encode(self, residual: Tensor) -> Tensor:
        """Feature activations, [..., d_in] -> [..., d_sae]."""
        return self.architecture.encode(self.pre_activations(residual), self.threshold)

    def decode(self, activations: Tensor, residual: Tensor | None = None) -> Tensor:
        """Reconstructed residual vectors, [..., d_sae] -> [..., d_in].

        Args:
            activations: of `encode`.
            residual: the vectors that were encoded, [..., d_in]; needed where each was normalised by itself.

        Raises:
            OptionError: `residual` is needed and missing.
        """
        normalized = activations @ self.decoder + self.b_dec
        if self.config.normalization == "scale":
            return normalized / self.config.input_scale
        if residual is None:
            raise OptionError(
                f"normalization={self.config.normalization!r} scales each residual vector by itself; give decode the "
                f"vectors that were encoded"
            )
        shift, factor = self._token_normalization(residual.to(self.W_enc.dtype))
        return normalized * factor + shift

    def forward(self, residual: Tensor) -> Tensor:
        """Reconstruction of residual vectors, [..., d_in] -> [..., d_in]."""
        return self.decode(self.encode(residual), residual)

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

    def push_to_hub(
        self,
        repo_id: str,
        *,
        report: dict[str, Any] | None = None,
        dtype: torch.dtype = torch.float32,
        private: bool = True,
        revision: str | None = None,
        token: str | None = None,
        license: str | None = None,
        allow_secrets: Collection[str] = (),
    ) -> str:
        """Upload configuration, weights, card and calibrations to a model repository on the Hub, made when missing.

        The calibrations are those that this machine knows of these very weights; in another `dtype` they are others.
        `publish_sae` publishes a folder.

        Args:
            repo_id: `user/name`.
            report: of `evaluate_sae`; goes into the card and into `report.json`.
            dtype: of the weights.
            private: whether only its owner may read the repository.
            revision: branch to commit to.
            token: of the Hub; by default the one that is logged in.
            license: for the card, as a Hub identifier.
            allow_secrets: digests, as the error shows them, of what looks like a key and is none; the card lists them.

        Returns:
            URL of the commit.

        Raises:
            PublishError: the Hub refuses or cannot be reached; the same call goes on.
        """
        import tempfile

        from fac_datasets.publishing.sae import publish_sae
        from fac_datasets.publishing.target import HubTarget
        from fac_datasets.sae.calibration import known_calibrations
        from fac_datasets.sae.loading import find_sae

        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / Path(self.config.name).name
            self.save_pretrained(folder, dtype=dtype)
            if report is not None:
                write_atomically(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
            for path in known_calibrations(find_sae(folder).digest):
                write_atomically(folder / "calibration" / path.name, path.read_bytes())
            target = HubTarget(repo_id, public=not private, revision=revision, token=token)
            published = publish_sae(folder, target, license=license, allow_secrets=allow_secrets)
        return str(published.url)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> SparseAutoencoder:
        """Load an SAE of any supported format, in float32; see `load_sae`."""
        from fac_datasets.sae.loading import load_sae

        return load_sae(name_or_path)


def require_match(config: SAEConfig, info: BackboneInfo, layer: int, *, other_backbone: bool = False) -> None:
    """Raise unless an SAE belongs to a backbone and layer.

    Args:
        config: of the SAE.
        info: the backbone.
        layer: decoder blocks that run.
        other_backbone: accept a backbone of the same width that is not the SAE's own, or of which it says nothing.

    Raises:
        BackboneError: the backbone has fewer blocks than `layer`.
        SAEMismatch: the SAE is of another width, layer or backbone, or does not say of which.
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
    if other_backbone or is_backbone_of(config, info):
        return
    if not names_backbone(config):
        raise SAEMismatch(
            f"SAE {config.name} does not say which backbone it was trained on; if it was trained on "
            f"{info.name}@{info.digest}, or if that is meant, say other_backbone=True (--other-backbone), or set "
            f"config.backbone and save it with save_pretrained"
        )
    digest = f"@{config.backbone_digest}" if config.backbone_digest else ""
    raise SAEMismatch(
        f"SAE {config.name} was trained on {config.backbone}{digest}; this backbone is "
        f"{info.name}@{info.digest}. If they are the same model, or if that is meant, say "
        f"other_backbone=True (--other-backbone)"
    )


def names_backbone(config: SAEConfig) -> bool:
    """Whether an SAE says which backbone it was trained on."""
    return bool(config.backbone or config.backbone_digest)


def is_backbone_of(config: SAEConfig, info: BackboneInfo) -> bool:
    """Whether a backbone is the one that an SAE names: by digest, else by the last part of its name."""
    if config.backbone_digest:
        return config.backbone_digest == info.digest
    return bool(config.backbone) and Path(config.backbone).name.lower() == Path(info.name).name.lower()
