"""What every publication goes through: a look for keys, a dry run, the merged card, one commit."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from fac_datasets.files.credentials import hub_token
from fac_datasets.publishing.commit import CARD, MANIFEST, Content, commit_files, manifest_of
from fac_datasets.publishing.dataset_card import as_markdown_text
from fac_datasets.publishing.merging import merge_card
from fac_datasets.publishing.secrets import Found, require_allowed, secrets_in_files
from fac_datasets.publishing.target import HubTarget, Kind
from fac_datasets.rows.card_header import split_card

logger = logging.getLogger(__name__)

_LISTED = 5
"""Places of one key that a card lists."""


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
    allow_secrets: Collection[str] = (),
    in_rows: Sequence[Found] = (),
    looked_through: Collection[str] = (),
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
        allow_secrets: digests, as the error shows them, of what looks like a key and is none; the card lists them, but
            for those in files that are not of this publication.
        in_rows: what was let through so before the rows were written.
        looked_through: the files that they were written to.
        dry_run: send no request; what is returned says what would be published.

    Raises:
        PublishError: something looks like a key, be it in the card that is there already, or in a file that becomes
            public by this; or the Hub refuses or cannot be reached.
    """
    token = known_token(target, dry_run)
    searched = {path: b"" if path in looked_through else content for path, content in files.items()}
    allowed = [*in_rows, *require_allowed(secrets_in_files(searched, token), allow_secrets)]
    met = set[str | None]()

    def look(others: Mapping[str, Content]) -> None:
        met.update(found.digest for found in require_allowed(secrets_in_files(others, token), allow_secrets))

    def merged(existing: str | None) -> str:
        without = merge_card(existing, card, computed=computed)
        in_card = require_allowed(secrets_in_files({CARD: without.encode()}, token), allow_secrets)
        # Its lines move by what is said of them.
        told = [*allowed, *(found._replace(place=CARD) for found in in_card)]
        met.update(found.digest for found in told)
        return merge_card(existing, card + _let_through(told), computed=computed) if told else without

    fresh = merged(card_to_keep)
    sizes = {**{path: _size(content) for path, content in files.items()}, MANIFEST: len(manifest_of(files))}
    if dry_run:
        _tell_unmet(target, allow_secrets, met)
        return Published(target.repo, {CARD: len(fresh.encode()), **sizes}, fresh)

    def made_card(existing: str | None, others: list[str]) -> str:
        made = merged(card_to_keep if existing is None else existing)
        if has_room is not None:
            has_room({} if existing is None else split_card(existing)[0], others)
        return made

    made = commit_files(target, kind, files, made_card, title=title, look=look)
    _tell_unmet(target, allow_secrets, met)
    sizes = {CARD: len(made.card.encode()), **sizes}
    return Published(target.repo, sizes, made.card, made.url, made.commit, made.changed)


def known_token(target: HubTarget, dry_run: bool) -> str | None:
    """The token that is used, given or logged in; in a dry run without the request that may renew it."""
    return hub_token(target.token, ask=not dry_run)


def _tell_unmet(target: HubTarget, allowed: Collection[str], met: Collection[str | None]) -> None:
    if unmet := sorted({*allowed} - {*met}):
        logger.warning(
            "nothing that was looked through for %s has the digest %s of --allow-secret", target.repo, ", ".join(unmet)
        )


def _let_through(found: Sequence[Found]) -> str:
    """What a card says of what looks like a key and was let through."""
    places: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for one in found:
        places[one.kind, one.digest].append(one.place)
    lines = []
    for (kind, digest), where in places.items():
        others = len(where) - _LISTED
        more = f" and {others:,} other place{'s' if others > 1 else ''}" if others > 0 else ""
        lines.append(f"- {as_markdown_text('; '.join(where[:_LISTED]))}{more}: {kind}, digest `{digest}`.\n")
    return f"\n## What looks like a key\n\nLet through as none by who published this:\n\n{''.join(lines)}"


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
