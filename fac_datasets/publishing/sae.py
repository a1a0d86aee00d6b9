"""Publishing an SAE, so that `load_sae("owner/name")` loads it."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import ModelCard

from fac_datasets.errors import PublishError, SAEFormatError
from fac_datasets.publishing.commit import CARD, Content
from fac_datasets.publishing.publication import Published, publish_files
from fac_datasets.publishing.sae_card import sae_card
from fac_datasets.publishing.target import HubTarget
from fac_datasets.sae.shipped_names import NAMES_FILE

_FILES = ("config.json", "model.safetensors", "report.json", "report.png", "training.json", "training.png", NAMES_FILE)


def publish_sae(
    folder: str | Path,
    target: str | HubTarget,
    *,
    license: str | None = None,
    allow_secrets: Collection[str] = (),
    dry_run: bool = False,
) -> Published:
    """Publish an SAE with its calibrations, report and card.

    Args:
        folder: of `SparseAutoencoder.save_pretrained` or `train_sae`, with what `calibrate_sae` and `evaluate_sae` put
            there. A `README.md` in it is published in place of the card that is made here.
        target: see `publish`.
        license: for the card, as a Hub identifier.
        allow_secrets: see `publish`.
        dry_run: see `publish`.

    Raises:
        SAEFormatError: the folder holds no SAE of this project's format.
        OptionError: the target is no id of a repository.
        PublishError: see `publish`.

    Example:
        >>> from fac_datasets.sae.model import SAEConfig
        >>> sae = SparseAutoencoder(SAEConfig(d_in=8, d_sae=32, k=4, layer=1))
        >>> sae.save_pretrained("my-sae")
        >>> sorted(publish_sae("my-sae", "me/my-sae", dry_run=True).files)
        ['.fac-datasets.json', 'README.md', 'config.json', 'model.safetensors']
    """
    where = HubTarget.of(target)
    path = Path(folder)
    missing = [name for name in _FILES[:2] if not (path / name).is_file()]
    if missing:
        raise SAEFormatError(
            f"{folder} holds no SAE to publish: it lacks {', '.join(missing)}; save one with save_pretrained"
        )
    files: dict[str, Content] = {name: path / name for name in _FILES if (path / name).is_file()}
    files |= {f"calibration/{file.name}": file for file in sorted((path / "calibration").glob("*.safetensors"))}
    return publish_files(
        where,
        "model",
        files,
        _card(path, where.repo, license),
        title=f"Publish {path.name}",
        computed=["license"] if license else [],
        allow_secrets=allow_secrets,
        dry_run=dry_run,
    )


def _card(path: Path, repo_id: str, license: str | None) -> str:
    from fac_datasets.sae.model import SAEConfig

    try:
        if (path / CARD).is_file():
            written = ModelCard((path / CARD).read_text(encoding="utf-8"))
            if license is not None:
                written.data["license"] = license
            return str(written)
        report = json.loads((path / "report.json").read_text()) if (path / "report.json").is_file() else None
        config = SAEConfig(**json.loads((path / "config.json").read_text()))
    except (ValueError, TypeError) as error:
        raise PublishError(f"{path} cannot be described on a card: {error}") from error
    return sae_card(config, report, name=repo_id, license=license)
