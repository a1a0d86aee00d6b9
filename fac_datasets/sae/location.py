"""Where an SAE is: the embedded one, a folder or file, a repository on the Hub, or a release that SAELens knows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from filelock import FileLock

from fac_datasets.errors import SAEFormatError
from fac_datasets.files.atomic import cache_folder
from fac_datasets.files.credentials import hub_token

EMBEDDED_SAE_FOLDER = Path(__file__).parent / "bundled"
"""The SAE that ships with this package."""


def sae_place(name_or_path: str | Path, weights_files: Sequence[str]) -> Path:
    """The local folder or file of an SAE, fetched where it is not here.

    Args:
        name_or_path: see `load_sae`.
        weights_files: names or patterns of the files with weights, in every format.

    Raises:
        SAEFormatError: there is nothing of that name.
    """
    if name_or_path == "embedded":
        return EMBEDDED_SAE_FOLDER
    path = Path(name_or_path)
    if path.exists():
        return path
    name = str(name_or_path)
    release, _, sae_id = name.partition(":")
    return _release_folder(release, sae_id) if sae_id and "/" not in release else _hub_place(name, weights_files)


def _hub_place(name: str, weights_files: Sequence[str]) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    location, _, revision = name.partition("@")
    repository, _, inside = location.partition(":")
    inside = inside.strip("/")
    hub_token()
    try:
        if not inside:
            files = HfApi().list_repo_files(repository, revision=revision or None)
            _require_one_sae(
                repository, [file for file in files if any(fnmatch(Path(file).name, known) for known in weights_files)]
            )
    except OfflineModeIsEnabled:
        # What is in the cache was fetched before, and so is small enough.
        pass
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise SAEFormatError(f"SAE {name!r} is no folder, and the Hub did not give it: {error}") from error
    # A run's own configuration, which names the backbone, stands above the folders of its SAEs.
    patterns = [inside, f"{inside}/*", "config.json"] if inside else None
    try:
        root = snapshot_download(repository, revision=revision or None, allow_patterns=patterns)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SAEFormatError(f"SAE {name!r} is no folder, and the Hub did not give it: {error}") from error
    place = Path(root) / inside
    if not place.exists():
        raise SAEFormatError(f"{repository!r} on the Hub has no folder or file {inside!r}")
    return place


def _require_one_sae(repository: str, weights: Sequence[str]) -> None:
    """Raise where a repository holds several SAEs, before all of them are downloaded."""
    if len(weights) > 1:
        raise SAEFormatError(
            f"{repository!r} on the Hub holds {len(weights)} SAEs; name the folder or file of one of them, as in "
            f"{repository}:{weights[0]}. The first are {', '.join(weights[:12])}"
        )


def _release_folder(release: str, sae_id: str) -> Path:
    """An SAE of a SAELens release, converted once by SAELens itself into its own format in the cache."""
    try:
        from sae_lens import SAE
    except ImportError as error:
        raise SAEFormatError(
            f"{release}:{sae_id} is no folder; if it is a release of SAELens, install it: pip install "
            f"'fac-datasets[sae-lens]'"
        ) from error
    folder = cache_folder("saes") / re.sub(r"[^\w.-]+", "--", f"{release}--{sae_id}")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            try:
                sae = SAE.from_pretrained(release, sae_id)
            except (ValueError, KeyError, OSError) as error:
                raise SAEFormatError(f"SAELens did not give {release}:{sae_id}: {error}") from error
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                sae.save_model(f"{temporary}/sae")
                Path(temporary, "sae").replace(folder)
    return folder
