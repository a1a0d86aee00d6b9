"""Where a publication may go: names of branches and tags that git and the Hub take for no other."""

from __future__ import annotations

import pytest

from fac_datasets.errors import OptionError
from fac_datasets.publishing.target import HubTarget

NO_NAMES = [
    "@",
    "HEAD",
    "refs/heads/x",
    "refs/tags/x",
    "refs",
    "x" * 300,
    "é" * 150,
    "a..b",
    "-a",
    "a b",
    "a.lock",
    "a/",
]


@pytest.mark.parametrize("name", [*NO_NAMES, "refs/pr/0", "refs/pr/x", "refs/pr/1/2"])
def test_what_is_no_name_of_a_branch_is_an_error(name: str) -> None:
    with pytest.raises(OptionError, match="is no name for a branch or tag") as refused:
        HubTarget("me/data", revision=name)
    assert len(str(refused.value)) < 450


@pytest.mark.parametrize("name", [*NO_NAMES, "refs/pr/1"])
def test_what_is_no_name_of_a_tag_is_an_error(name: str) -> None:
    with pytest.raises(OptionError, match="is no name for a branch or tag"):
        HubTarget("me/data", tag=name)


@pytest.mark.parametrize("name", ["dev", "v1.0", "a/b", "refs-of-mine", "HEADS", "me@home", "x" * 240])
def test_other_names_are_those_of_branches_and_tags(name: str) -> None:
    target = HubTarget("me/data", revision=name, tag=name)
    assert (target.branch, target.tag, target.proposes) == (name, name, False)


def test_a_pull_request_is_named_by_its_reference() -> None:
    assert HubTarget("me/data", revision="refs/pr/12").proposes
