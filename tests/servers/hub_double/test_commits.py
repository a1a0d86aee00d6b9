"""Commits to the double, seen through the real client: parents, pull requests, histories."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from tests.servers.hub_double import OTHER_TOKEN, Hub
from tests.servers.hub_double.conftest import CONFIG

pytestmark = pytest.mark.slow


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


def test_a_history_tells_titles_descriptions_and_authors(hub: Hub) -> None:
    HfApi().create_repo("team/sae")
    change = [CommitOperationAdd("config.json", CONFIG)]
    HfApi().create_commit("team/sae", change, commit_message="Train", commit_description="On two corpora.")
    last, first = HfApi().list_repo_commits("team/sae")
    assert (last.title, last.message, last.authors) == ("Train", "On two corpora.", ["me"])
    assert (first.title, first.message, first.authors) == ("initial commit", "", ["team"])


def test_a_pull_request_may_start_at_an_earlier_commit(hub: Hub) -> None:
    parent = hub.seed("me/sae", {"config.json": CONFIG})
    hub.seed("me/sae", {"notes.txt": b"meanwhile"})
    change = CommitOperationAdd("config.json", b"{}")
    commit = HfApi().create_commit("me/sae", [change], commit_message="c", parent_commit=parent, create_pr=True)
    assert commit.pr_revision == "refs/pr/1"
    assert set(hub.files("me/sae", "refs/pr/1")) == {".gitattributes", "config.json"}
    assert [commit.commit_id for commit in HfApi().list_repo_commits("me/sae", revision="refs/pr/1")][1] == parent


def test_a_pull_request_does_not_start_at_a_commit_that_is_not_there(hub: Hub) -> None:
    hub.seed("me/sae", {})
    change = CommitOperationAdd("config.json", b"{}")
    with pytest.raises(RevisionNotFoundError):
        HfApi().create_commit("me/sae", [change], commit_message="c", parent_commit="0" * 40, create_pr=True)
    assert not hub.repositories["me/sae"].pull_requests


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_commits_go_on_a_pull_request_of_ones_own(hub: Hub, token: str | None) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    api = HfApi(token=token)
    api.upload_file(repo_id="me/sae", path_or_fileobj=b"a", path_in_repo="a", create_pr=True)
    api.upload_file(repo_id="me/sae", path_or_fileobj=b"b", path_in_repo="b", revision="refs/pr/1")
    assert set(hub.files("me/sae", "refs/pr/1")) == {".gitattributes", "config.json", "a", "b"}
    assert set(hub.files("me/sae")) == {".gitattributes", "config.json"}


def test_commits_go_on_a_pull_request_to_ones_own_repository(hub: Hub) -> None:
    hub.seed("me/sae", {})
    other = HfApi(token=OTHER_TOKEN)
    other.upload_file(repo_id="me/sae", path_or_fileobj=b"a", path_in_repo="a", create_pr=True)
    HfApi().upload_file(repo_id="me/sae", path_or_fileobj=b"b", path_in_repo="b", revision="refs/pr/1")
    assert set(hub.files("me/sae", "refs/pr/1")) == {".gitattributes", "a", "b"}


def test_no_commit_goes_on_a_pull_request_between_others(hub: Hub) -> None:
    hub.seed("other/sae", {})
    other = HfApi(token=OTHER_TOKEN)
    other.upload_file(repo_id="other/sae", path_or_fileobj=b"a", path_in_repo="a", create_pr=True)
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().upload_file(repo_id="other/sae", path_or_fileobj=b"b", path_in_repo="b", revision="refs/pr/1")
    assert caught.value.response.status_code == 403


def test_pull_requests_are_listed(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {})
    for name, token in (("a", None), ("b", OTHER_TOKEN)):
        change = [CommitOperationAdd(name, b"")]
        HfApi(token=token).create_commit(
            "me/talk", change, commit_message=f"Add {name}", repo_type="dataset", create_pr=True
        )
    found = list(HfApi().get_repo_discussions("me/talk", repo_type="dataset"))
    assert [(one.num, one.title, one.author, one.status) for one in found] == [
        (2, "Add b", "other", "open"),
        (1, "Add a", "me", "open"),
    ]
    assert found[0].git_reference == "refs/pr/2"
    (own,) = HfApi().get_repo_discussions("me/talk", repo_type="dataset", author="me")
    assert own.num == 1
    assert not list(HfApi().get_repo_discussions("me/talk", repo_type="dataset", discussion_status="closed"))


def test_files_that_a_repository_ignores_are_left_out_by_the_client(hub: Hub) -> None:
    hub.seed("me/sae", {".gitignore": b"*.log\n"})
    changes = [CommitOperationAdd("a.log", b"a"), CommitOperationAdd("a.txt", b"a")]
    HfApi().create_commit("me/sae", changes, commit_message="c")
    assert set(hub.files("me/sae")) == {".gitattributes", ".gitignore", "a.txt"}
