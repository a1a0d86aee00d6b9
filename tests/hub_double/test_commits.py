"""Commits to the double, seen through the real client."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.hub_double import Hub
from tests.hub_double.conftest import CONFIG


def test_a_commit_on_an_outdated_parent_is_refused(hub: Hub) -> None:
    parent = hub.seed("me/sae", {"config.json": CONFIG})
    other = hub.seed("me/sae", {"notes.txt": b"meanwhile"})
    change = [CommitOperationAdd("config.json", b"{}")]
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().create_commit("me/sae", change, commit_message="late", parent_commit=parent)
    assert caught.value.response.status_code == 412
    assert hub.files("me/sae")["config.json"] == CONFIG
    HfApi().create_commit("me/sae", [CommitOperationAdd("config.json", b"{}")], commit_message="c", parent_commit=other)
    assert hub.files("me/sae")["config.json"] == b"{}"
