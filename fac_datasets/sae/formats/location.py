"""Where an SAE is: the embedded one, a folder, or a repository on the Hub."""

from __future__ import annotations

from pathlib import Path

from fac_datasets.errors import SAEFormatError


def sae_place(name_or_path: str | Path) -> Path:
    """Folder or file of an SAE: the embedded one, a local one, or part of a Hub repository that is fetched."""
    from fac_datasets.embedded import EMBEDDED_SAE_FOLDER

    if name_or_path == "embedded":
        return EMBEDDED_SAE_FOLDER
    path = Path(name_or_path)
    if path.exists():
        return path
    return _hub_folder(str(name_or_path))


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    location, _, revision = name.partition("@")
    repository, _, subfolder = location.partition(":")
    subfolder = subfolder.strip("/")
    try:
        root = snapshot_download(
            repository, revision=revision or None, allow_patterns=f"{subfolder}/*" if subfolder else None
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SAEFormatError(f"SAE {name!r} is no folder, and the Hub did not give it: {error}") from error
    folder = Path(root) / subfolder
    if not folder.is_dir():
        raise SAEFormatError(f"{repository!r} on the Hub has no folder {subfolder!r}")
    return folder
