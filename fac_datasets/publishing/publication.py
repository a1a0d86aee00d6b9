"""What every publication goes through: a look for keys, a dry run, the merged card, one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from huggingface_hub import get_token

from fac_datasets.publishing.commit import CARD, Content, Target, commit_files
from fac_datasets.publishing.merging import merge_card
from fac_datasets.publishing.secrets import require_no_secrets_in_file, require_no_secrets_in_text


class Published(NamedTuple):
    """A publication, or what it would be."""

    repo_id: str
    files: dict[str, int]
    """Sizes in bytes, by path, with the card."""
    card: str
    """README.md; in a dry run as a new repository would get it."""
    url: str | None = None
    """Of the commit or pull request; None in a dry run."""
    commit: str | None = None
    """Its id; None in a dry run."""
    changed: tuple[str, ...] = ()
    """Files that were written or removed; none where the Hub held all of it already."""

    def __str__(self) -> str:
        if self.url is None:
            listed = "\n".join(f"{size:>14,} bytes  {path}" for path, size in self.files.items())
            return f"{self.repo_id}: {len(self.files)} files, nothing was sent\n{listed}\n\n{self.card}"
        what = f"{len(self.changed)} files changed" if self.changed else "all of it was there already"
        return f"{self.repo_id}: {what}\n{self.url}"


def publish_files(
    target: Target,
    files: Mapping[str, Content],
    card: str,
    *,
    title: str,
    card_to_keep: str | None = None,
    computed: Collection[str] = (),
    replaces: Callable[[str], bool] = lambda _path: False,
    token: str | None = None,
    dry_run: bool = False,
) -> Published:
    """Publish files and a card.

    Args:
        target: where to.
        files: by path, without the card.
        card: ours; what people wrote and declared in an existing one stays.
        title: of the commit.
        card_to_keep: text and header to start from where the repository has no card yet.
        computed: fields of the card's header whose new value wins; see `merge_card`.
        replaces: whether a file that is there belongs to the earlier state, and goes where it is not in `files`.
        token: of the Hub; by default the one that is logged in.
        dry_run: send no request; what is returned says what would be published.

    Raises:
        PublishError: something looks like a key; or the Hub refuses or cannot be reached.
    """
    token = token or get_token()
    for path, content in files.items():
        require_no_secrets_in_file(content, path, token)
    fresh = merge_card(card_to_keep, card, computed=computed)
    require_no_secrets_in_text(fresh, CARD, token)
    sizes = {path: _size(content) for path, content in files.items()}
    if dry_run:
        return Published(target.repo_id, {CARD: len(fresh.encode()), **sizes}, fresh)

    def merged(existing: str | None) -> str:
        return fresh if existing is None else merge_card(existing, card, computed=computed)

    made = commit_files(target, files, merged, title=title, replaces=replaces, token=token)
    sizes = {CARD: len(made.card.encode()), **sizes}
    return Published(target.repo_id, sizes, made.card, made.url, made.commit, made.changed)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
