"""Publishing to the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.metric_registry import metric_names
from fac_datasets.resources import resource_folder


class MetricSpace(NamedTuple):
    """A metric's folder and where it goes."""

    repository: str
    """Id of the Space."""
    folder: Path
    files: dict[str, int]
    """Sizes in bytes, by name."""


def metric_spaces(owner: str, names: Sequence[str] | None = None) -> list[MetricSpace]:
    """What publishing the metrics would push.

    Args:
        owner: user or organization.
        names: of metrics; by default all.

    Raises:
        OptionError: there is no such metric, or no owner can have such a name.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    spaces = []
    for name in names or metric_names():
        if name not in metric_names():
            raise OptionError(f"there is no metric {name!r}; there are {', '.join(metric_names())}")
        try:
            validate_repo_id(f"{owner}/{name}")
        except HFValidationError as error:
            raise OptionError(f"owner={owner!r} is no user or organization: {error}") from error
        folder = resource_folder("metrics") / name
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        spaces.append(MetricSpace(f"{owner}/{name}", folder, files))
    return spaces


def publish_metrics(owner: str, names: Sequence[str] | None = None) -> dict[str, str]:
    """Push metrics as Spaces that `evaluate.load("OWNER/NAME")` loads.

    A Space that is there is brought up to date; the same files are not pushed again.

    Args:
        owner: user or organization, to which the token of `huggingface_hub` may write.
        names: of metrics; by default all.

    Returns:
        Address of each metric's commit, by name.

    Raises:
        PublishError: the Hub refuses or cannot be reached; it says which were pushed before.
    """
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    pushed: dict[str, str] = {}
    for space in metric_spaces(owner, names):
        try:
            api.create_repo(space.repository, repo_type="space", space_sdk="gradio", exist_ok=True)
            commit = api.upload_folder(
                repo_id=space.repository,
                repo_type="space",
                folder_path=space.folder,
                allow_patterns=list(space.files),
                commit_message=f"Update {space.folder.name}",
            )
        except (HfHubHTTPError, TransportError, OSError) as error:
            done = ", ".join(pushed) or "none"
            raise PublishError(f"{space.repository} cannot be pushed: {error}; pushed before: {done}") from error
        pushed[space.folder.name] = commit.commit_url
    return pushed
