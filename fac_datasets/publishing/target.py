"""Where on the Hub a publication goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from fac_datasets.errors import OptionError
from fac_datasets.files.credentials import credential

Kind = Literal["dataset", "model", "space"]

_LONGEST = 240
"""Bytes of a branch's or tag's name, which git keeps as that of a file."""


@dataclass(frozen=True)
class HubTarget:
    """Where on the Hub a publication goes, who may read it, and as whom it is sent.

    Raises:
        OptionError: the repository can have no such id, the token is none, or options contradict each other.

    Example:
        >>> HubTarget("me/data", public=True, tag="v1.0").branch
        'main'
    """

    repo: str
    """`owner/name`, made where there is none; a name alone is a repository of whoever the token belongs to."""
    public: bool = False
    """Whether everybody may read the repository, which is private otherwise."""
    revision: str | None = None
    """Branch, made from the main one where there is none, or an open pull request, `refs/pr/N`; by default the main
    branch."""
    create_pr: bool = False
    """Open a pull request instead of changing the branch."""
    tag: str | None = None
    """Given to the published state, such as `"v1.0"`."""
    token: str | None = field(default=None, repr=False)
    """Of the Hub; by default the one that is logged in."""

    def __post_init__(self) -> None:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        object.__setattr__(self, "token", credential(self.token, "the token for the Hub"))
        try:
            validate_repo_id(self.repo)
        except HFValidationError as error:
            raise OptionError(f"{self.repo!r} is no id of a repository: {error}") from error
        if self.create_pr and (self.revision is not None or self.tag is not None):
            raise OptionError(
                "a pull request goes to the main branch and gets no tag before it is merged; leave out "
                f"revision={self.revision!r} and tag={self.tag!r}, or create_pr"
            )
        for what, name in (("revision", self.revision), ("tag", self.tag)):
            proposal = what == "revision" and re.fullmatch("refs/pr/[1-9][0-9]*", name or "")
            if name is not None and not proposal and not _is_reference(name):
                raise OptionError(
                    f"{what}={name[:_LONGEST]!r} is no name for a branch or tag; use at most {_LONGEST} letters, "
                    f"digits, '-', '_', '.' and '/', and neither HEAD nor what begins with refs/"
                )

    @classmethod
    def of(cls, target: str | HubTarget) -> HubTarget:
        """A target as it is, or the private main branch of the repository with an id."""
        return cls(target) if isinstance(target, str) else target

    @property
    def branch(self) -> str:
        """The branch that is published to."""
        return self.revision or "main"

    @property
    def proposes(self) -> bool:
        """Whether it goes to a pull request, which changes nothing for readers of the repository."""
        return self.create_pr or self.branch.startswith("refs/pr/")


def _is_reference(name: str) -> bool:
    """Whether git takes a name for a branch or tag (`git check-ref-format`), and nothing takes it for something else,
    such as an option, the newest commit or a reference's full name."""
    if len(name.encode()) > _LONGEST or name in ("@", "HEAD") or name.split("/")[0] == "refs":
        return False
    if re.search(r"\.\.|@\{|[\s\x00-\x1f\x7f~^:?*\[\\]", name):
        return False
    return all(part and part[0] not in ".-" and not part.endswith((".", ".lock")) for part in name.split("/"))
