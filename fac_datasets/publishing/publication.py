"""What every publication goes through: a look for keys, a dry run, the merged card, one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from fac_datasets.files.credentials import hub_token
from fac_datasets.publishing.commit import CARD, MANIFEST, Content, commit_files, manifest_of
from fac_datasets.publishing.merging import merge_card
from fac_datasets.publishing.secrets import require_none, secrets_in_file
from fac_datasets.publishing.target import HubTarget, Kind
from fac_datasets.rows.card_header import split_card


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
    target: HubTarget,
    kind: Kind,
    files: Mapping[str, Content],
    card: str,
    *,
    title: str,
    card_to_keep: str | None = None,
    computed: Collection[str] = (),
    has_room: Callable[[Mapping[str, Any], list[str]], None] | None = None,
    dry_run: bool = False,
) -> Published:
    """Publish files and a card.

    Args:
        target: where to.
        kind: of the repository.
        files: by path, without the card.
        card: ours; what people wrote and declared in an existing one stays.
        title: of the commit.
        card_to_keep: text and header to start from where the repository has no card yet.
        computed: fields of the card's header whose new value wins; see `merge_card`.
        has_room: raises where it cannot stand in a repository whose card has a header, and which holds other files.
        dry_run: send no request; what is returned says what would be published.

    Raises:
        PublishError: something looks like a key; or the Hub refuses or cannot be reached.
    """
    fresh = merge_card(card_to_keep, card, computed=computed)
    contents = {**files, CARD: fresh.encode()}
    token = known_token(target, dry_run)
    require_none([hit for path, content in contents.items() for hit in secrets_in_file(content, path, token)])
    sizes = {**{path: _size(content) for path, content in files.items()}, MANIFEST: len(manifest_of(files))}
    if dry_run:
        return Published(target.repo, {CARD: len(fresh.encode()), **sizes}, fresh)

    def merged(existing: str | None, others: list[str]) -> str:
        found = fresh if existing is None else merge_card(existing, card, computed=computed)
        if has_room is not None:
            has_room({} if existing is None else split_card(existing)[0], others)
        return found

    made = commit_files(target, kind, files, merged, title=title)
    sizes = {CARD: len(made.card.encode()), **sizes}
    return Published(target.repo, sizes, made.card, made.url, made.commit, made.changed)


def known_token(target: HubTarget, dry_run: bool) -> str | None:
    """The token that is used, given or logged in; in a dry run without the request that may renew it."""
    return hub_token(target.token, ask=not dry_run)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
