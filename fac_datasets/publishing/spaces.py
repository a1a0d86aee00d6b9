"""Publishing Spaces: those of the metrics, which `evaluate.load` loads, and Gradio pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder
from fac_datasets.publishing.commit import CARD
from fac_datasets.publishing.publication import Published, publish_files
from fac_datasets.publishing.target import HubTarget
from fac_datasets.rows.card_header import split_card

_NEEDED = (CARD, "app.py", "requirements.txt")


def publish_space(
    folder: str | Path,
    target: str | HubTarget,
    *,
    allow_secrets: Collection[str] = (),
    dry_run: bool = False,
) -> Published:
    """Publish a folder as a Gradio Space.

    Args:
        folder: with `README.md`, `app.py` and `requirements.txt`; or the name of a Space or metric of this package.
        target: see `publish`.
        allow_secrets: see `publish`.
        dry_run: see `publish`.

    Raises:
        OptionError: there is no such Space, or the target is no id of a repository.
        PublishError: see `publish`.

    Example:
        >>> sorted(publish_space("distinct_n", "me/distinct_n", dry_run=True).files)
        ['.fac-datasets.json', 'README.md', 'app.py', 'distinct_n.py', 'requirements.txt']
    """
    path = _folder(folder)
    files = {
        file.relative_to(path).as_posix(): file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not _left_out(file.relative_to(path))
    }
    card = files.pop(CARD).read_text(encoding="utf-8")
    return publish_files(
        HubTarget.of(target),
        "space",
        files,
        card,
        title=f"Publish {path.name}",
        # The page does not start where these are not those of its files.
        computed=split_card(card)[0],
        allow_secrets=allow_secrets,
        dry_run=dry_run,
    )


def publish_metrics(
    owner: str,
    names: Sequence[str] | None = None,
    *,
    public: bool = False,
    token: str | None = None,
    allow_secrets: Collection[str] = (),
    dry_run: bool = False,
) -> list[Published]:
    """Publish metrics as Spaces, from which `evaluate.load("OWNER/NAME")` loads them.

    Args:
        owner: user or organization.
        names: of metrics; by default all.
        public: whether everybody may read them; a private Space is loaded by its owner alone.
        token: of the Hub; by default the one that is logged in.
        allow_secrets: see `publish`.
        dry_run: see `publish`.

    Raises:
        OptionError: there is no such metric, or no owner can have such a name.
        PublishError: see `publish`; it says which were published before.
    """
    wanted = list(names or metric_names())
    for name in wanted:
        if name not in metric_names():
            raise OptionError(f"there is no metric {name!r}; there are {', '.join(metric_names())}")
    if "/" in owner:
        raise OptionError(f"owner={owner!r} is no user or organization; each metric gets a Space below it")
    published: list[Published] = []
    for name in wanted:
        folder = resource_folder("metrics") / name
        try:
            target = HubTarget(f"{owner}/{name}", public=public, token=token)
            published.append(publish_space(folder, target, allow_secrets=allow_secrets, dry_run=dry_run))
        except PublishError as error:
            done = ", ".join(one.repo_id for one in published) or "none"
            raise PublishError(f"{error}. Published before: {done}") from error
    return published


def _folder(folder: str | Path) -> Path:
    """A Space's folder, given or of this package."""
    ours = [resource_folder(kind) / folder for kind in ("spaces", "metrics")] if "/" not in str(folder) else []
    for path in (Path(folder), *ours):
        if path.is_dir():
            lacking = [name for name in _NEEDED if not (path / name).is_file()]
            if lacking:
                raise OptionError(f"{path} is no Space: it lacks {', '.join(lacking)}")
            return path
    raise OptionError(f"there is no Space {str(folder)!r}: no such folder, and none of that name in this package")


def _left_out(path: Path) -> bool:
    """Whether a file is hidden, or made by Python itself."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts) or path.suffix == ".pyc"
