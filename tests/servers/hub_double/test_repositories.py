"""Repositories of the double, seen through the real client: names, visibility, gates, branches and tags."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi, SpaceHardware, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.servers.hub_double import OTHER_TOKEN, READ_TOKEN, Hub
from tests.servers.hub_double.conftest import CONFIG, WEIGHTS
from tests.servers.hub_double.repositories import Gate, Visibility

pytestmark = pytest.mark.slow


def test_a_repository_is_created_once(hub: Hub) -> None:
    first = HfApi().create_repo("me/sae")
    assert HfApi().create_repo("me/sae", exist_ok=True) == first
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().create_repo("me/sae")
    assert caught.value.response.status_code == 409
    HfApi().create_repo("me/sae", repo_type="dataset")
    assert set(hub.repositories) == {"me/sae", "datasets/me/sae"}


def test_a_space_is_created_and_filled(hub: Hub) -> None:
    url = HfApi().create_repo("me/demo", repo_type="space", space_sdk="gradio", space_hardware=SpaceHardware.CPU_BASIC)
    HfApi().upload_file(repo_id="me/demo", repo_type="space", path_or_fileobj=b"pass\n", path_in_repo="app.py")
    assert url == f"{hub.url}/spaces/me/demo"
    assert hub.files("spaces/me/demo")["app.py"] == b"pass\n"
    assert HfApi().space_info("me/demo").sdk == "gradio"


def test_a_repository_becomes_public(hub: Hub) -> None:
    HfApi().create_repo("me/sae", private=True)
    HfApi().update_repo_settings("me/sae", private=False)
    assert not HfApi(token=False).model_info("me/sae").private


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
@pytest.mark.parametrize("visibility", ["public", "private"])
def test_a_repository_is_created_with_a_visibility(hub: Hub, kind: str, visibility: Visibility) -> None:
    sdk = "static" if kind == "space" else None
    HfApi().create_repo("me/new", repo_type=kind, visibility=visibility, space_sdk=sdk)
    assert HfApi().repo_info("me/new", repo_type=kind).private == (visibility == "private")
    assert HfApi(token=False).repo_exists("me/new", repo_type=kind) == (visibility == "public")


def test_the_files_of_a_protected_space_are_hidden(hub: Hub) -> None:
    HfApi().create_repo("me/demo", repo_type="space", space_sdk="gradio", visibility="protected")
    assert hub.repositories["spaces/me/demo"].visibility == "protected"
    assert HfApi().file_exists("me/demo", ".gitattributes", repo_type="space")
    assert not HfApi(token=OTHER_TOKEN).file_exists("me/demo", ".gitattributes", repo_type="space")


# Names


def test_a_renamed_repository_is_described_by_its_new_name(hub: Hub) -> None:
    hub.seed("me/old", {"config.json": CONFIG})
    hub.rename("me/old", "me/new")
    assert HfApi().repo_info("me/old").id == HfApi().repo_info("me/new").id == "me/new"
    assert hub.requests("GET") == ["GET /api/models/me/old", "GET /api/models/me/new", "GET /api/models/me/new"]


def test_files_of_a_renamed_repository_are_found_by_its_old_names(hub: Hub) -> None:
    hub.seed("me/old", {"a/config.json": CONFIG, "weights.bin": WEIGHTS})
    hub.rename("me/old", "me/newer")
    hub.rename("me/newer", "me/newest")
    for name in ("me/old", "me/newer"):
        assert Path(hf_hub_download(name, "weights.bin")).read_bytes() == WEIGHTS
        assert [entry.path for entry in HfApi().list_repo_tree(name, "a")] == ["a/config.json"]
        assert [entry.path for entry in HfApi().get_paths_info(name, "weights.bin")] == ["weights.bin"]


def test_a_renamed_repository_is_written_to_by_its_old_name(hub: Hub) -> None:
    HfApi().create_repo("me/old")
    hub.rename("me/old", "me/new")
    HfApi().upload_file(repo_id="me/old", path_or_fileobj=WEIGHTS, path_in_repo="weights.bin")
    HfApi().upload_file(repo_id="me/old", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert set(hub.files("me/new")) == {".gitattributes", "config.json", "weights.bin"}
    assert "POST /me/new.git/info/lfs/objects/batch" in hub.requests()


def test_a_renamed_dataset_is_loaded_and_pushed_by_its_old_name(hub: Hub, rows: datasets.Dataset) -> None:
    rows.push_to_hub("me/old")
    hub.rename("datasets/me/old", "datasets/me/new")
    assert datasets.load_dataset("me/old", split="train").to_list() == rows.to_list()
    rows.select([1]).push_to_hub("me/old", "other")
    assert datasets.load_dataset("me/new", "other", split="train").to_list() == rows.to_list()[1:]


def test_the_new_name_of_a_private_repository_is_not_told_to_others(hub: Hub) -> None:
    hub.seed("me/old", {}, private=True)
    hub.rename("me/old", "me/new")
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=OTHER_TOKEN).repo_info("me/old")
    assert not hub.requests("me/new")


def test_an_old_name_may_be_taken_again(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    hub.rename("me/sae", "me/new")
    HfApi().create_repo("me/sae")
    assert HfApi().repo_info("me/sae").id == "me/sae"
    assert set(hub.repositories) == {"me/sae", "me/new"}


# Gates


@pytest.mark.parametrize("gated", ["auto", "manual"])
def test_a_gated_repository_is_described_to_anyone(hub: Hub, gated: Gate) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    assert HfApi().repo_info("me/sae").gated is False
    HfApi().update_repo_settings("me/sae", gated=gated)
    assert hub.repositories["me/sae"].gated == gated
    for token in (OTHER_TOKEN, False):
        assert HfApi(token=token).repo_info("me/sae").gated == gated


@pytest.mark.parametrize(("token", "status"), [(OTHER_TOKEN, 403), (False, 401)])
def test_what_is_in_a_gated_repository_is_for_its_owner(hub: Hub, token: str | bool, status: int) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    hub.repositories["me/sae"].gated = "manual"
    api = HfApi(token=token)
    for attempt in (
        lambda: api.hf_hub_download("me/sae", "config.json"),
        lambda: list(api.list_repo_tree("me/sae")),
        lambda: api.list_repo_commits("me/sae"),
        lambda: api.upload_file(repo_id="me/sae", path_or_fileobj=b"x", path_in_repo="x", create_pr=True),
    ):
        with pytest.raises(GatedRepoError) as caught:
            attempt()
        assert caught.value.response.status_code == status
    assert Path(hf_hub_download("me/sae", "config.json", token=READ_TOKEN)).read_bytes() == CONFIG


def test_a_gated_dataset_is_not_loaded_by_others(hub: Hub, rows: datasets.Dataset) -> None:
    rows.push_to_hub("me/talk")
    hub.repositories["datasets/me/talk"].gated = "auto"
    with pytest.raises(datasets.exceptions.DatasetNotFoundError, match="gated dataset"):
        datasets.load_dataset("me/talk", token=OTHER_TOKEN)
    assert datasets.load_dataset("me/talk", split="train").to_list() == rows.to_list()


# Branches, tags, deletions


def test_branches_and_tags_name_commits(hub: Hub) -> None:
    api = HfApi()
    first = hub.seed("me/sae", {"config.json": CONFIG})
    api.create_branch("me/sae", branch="draft/2")
    api.create_tag("me/sae", tag="v1")
    second = api.upload_file(repo_id="me/sae", path_or_fileobj=b"{}", path_in_repo="config.json", revision="draft/2")
    refs = api.list_repo_refs("me/sae")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": first, "draft/2": second.oid}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": first}
    assert Path(hf_hub_download("me/sae", "config.json", revision="v1")).read_bytes() == CONFIG
    assert Path(hf_hub_download("me/sae", "config.json", revision="draft/2")).read_bytes() == b"{}"
    assert [commit.commit_id for commit in api.list_repo_commits("me/sae", revision="draft/2")][:2] == [
        second.oid,
        first,
    ]


def test_branches_and_tags_are_created_once_and_deleted(hub: Hub) -> None:
    api = HfApi()
    hub.seed("me/sae", {})
    for create, delete in (
        (partial(api.create_branch, "me/sae", branch="x"), partial(api.delete_branch, "me/sae", branch="x")),
        (partial(api.create_tag, "me/sae", tag="x"), partial(api.delete_tag, "me/sae", tag="x")),
    ):
        create()
        create(exist_ok=True)
        with pytest.raises(HfHubHTTPError) as caught:
            create()
        assert caught.value.response.status_code == 409
        assert api.revision_exists("me/sae", "x")
        delete()
        assert not api.revision_exists("me/sae", "x")
        with pytest.raises(RevisionNotFoundError):
            delete()


def test_files_folders_and_repositories_are_deleted(hub: Hub) -> None:
    hub.seed("me/sae", {"a/1": b"1", "a/2": b"2", "b/3": b"3", "b/4": b"4"})
    HfApi().delete_file("b/3", "me/sae")
    HfApi().delete_folder("a", "me/sae")
    assert set(hub.files("me/sae")) == {".gitattributes", "b/4"}
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        HfApi().delete_file("b/3", "me/sae")
    HfApi().delete_repo("me/sae")
    assert not HfApi().repo_exists("me/sae")
    HfApi().delete_repo("me/sae", missing_ok=True)
