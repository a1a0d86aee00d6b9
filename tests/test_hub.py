"""The stand-in for the Hub, seen through the real clients: what it stores, whom it refuses, how it fails on demand."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import datasets
import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    HfFileSystem,
    SpaceHardware,
    constants,
    get_token,
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.hub import OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Cut, Hub, connect, drop_connections, setting_modules

CONFIG, WEIGHTS = b'{"width": 32}\n', bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text at its top and weights below."""
    (tmp_path / "model" / "sae").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_bytes(CONFIG)
    (tmp_path / "model" / "sae" / "weights.safetensors").write_bytes(WEIGHTS)
    return tmp_path / "model"


@pytest.fixture
def rows() -> datasets.Dataset:
    """A small dataset."""
    return datasets.Dataset.from_dict({"text": ["Boil the rice.", "It rains."], "score": [0.5, 2.0]})


# Models


def test_an_uploaded_folder_comes_back_at_the_revision_asked_for(hub: Hub, folder: Path) -> None:
    api = HfApi()
    url = api.create_repo("me/sae")
    assert (url.repo_id, url.repo_type, url.endpoint) == ("me/sae", "model", hub.url)
    first = api.upload_folder(repo_id="me/sae", folder_path=folder, path_in_repo="layer-2").oid
    (folder / "config.json").write_bytes(b"{}")
    api.upload_folder(repo_id="me/sae", folder_path=folder, path_in_repo="layer-2")

    old = Path(snapshot_download("me/sae", revision=first, allow_patterns="layer-2/*"))
    assert {str(path.relative_to(old)) for path in old.rglob("*") if path.is_file()} == {
        "layer-2/config.json",
        "layer-2/sae/weights.safetensors",
    }
    assert (old / "layer-2" / "config.json").read_bytes() == CONFIG
    assert (old / "layer-2" / "sae" / "weights.safetensors").read_bytes() == WEIGHTS
    assert Path(snapshot_download("me/sae"), "layer-2", "config.json").read_bytes() == b"{}"
    assert hub.files("me/sae", first)["layer-2/config.json"] == CONFIG


def test_a_file_is_uploaded_and_downloaded_alone(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    HfApi().upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="a/config.json")
    assert Path(hf_hub_download("me/sae", "a/config.json")).read_bytes() == CONFIG
    assert HfApi().file_exists("me/sae", "a/config.json")
    assert not HfApi().file_exists("me/sae", "config.json")


def test_an_unchanged_file_makes_no_commit(hub: Hub, folder: Path) -> None:
    HfApi().create_repo("me/sae")
    first, second = (HfApi().upload_folder(repo_id="me/sae", folder_path=folder).oid for _ in range(2))
    assert first == second
    assert len(hub.requests("POST .*/commit/main")) == 1


def test_what_is_seeded_is_described_and_listed(hub: Hub) -> None:
    sha = hub.seed("me/sae", {"a/b/config.json": CONFIG, "a/weights.bin": WEIGHTS})
    info = HfApi().model_info("me/sae")
    assert (info.sha, info.private, info.author) == (sha, False, "me")
    assert HfApi().list_repo_files("me/sae") == [".gitattributes", "a/b/config.json", "a/weights.bin"]
    assert [entry.path for entry in HfApi().list_repo_tree("me/sae", "a")] == ["a/b", "a/weights.bin"]
    found = HfApi().get_paths_info("me/sae", ["a/weights.bin", "a/b", "absent"])
    assert [entry.path for entry in found] == ["a/weights.bin", "a/b"]


def test_a_long_listing_comes_in_pages(hub: Hub) -> None:
    hub.page_size = 2
    hub.seed("me/sae", {f"{n}.txt": b"" for n in range(4)})
    assert len(HfApi().list_repo_files("me/sae")) == 5
    assert len(hub.requests("GET .*/tree/main")) == 3


# Large files


def test_a_large_file_is_stored_apart_and_once(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    for name in ("a.safetensors", "b.safetensors"):
        HfApi().upload_file(repo_id="me/sae", path_or_fileobj=WEIGHTS, path_in_repo=name)
    assert hub.files("me/sae")["b.safetensors"] == WEIGHTS
    assert len(hub.requests("PUT /large-files/")) == 1
    (entry,) = HfApi().get_paths_info("me/sae", "a.safetensors")
    assert isinstance(entry, RepoFile)
    assert entry.lfs is not None
    assert entry.lfs.size == entry.size == len(WEIGHTS)
    assert Path(hf_hub_download("me/sae", "b.safetensors")).read_bytes() == WEIGHTS


def test_a_part_of_a_file_is_read(hub: Hub) -> None:
    hub.seed("me/sae", {"weights.bin": WEIGHTS})
    with HfFileSystem().open("me/sae/weights.bin", block_size=100) as file:
        file.seek(1000)
        assert file.read(50) == WEIGHTS[1000:1050]
    assert hub.requests("GET /me/sae/resolve/")


# Datasets


def test_a_pushed_dataset_is_loaded_at_the_revision_asked_for(hub: Hub, rows: datasets.Dataset) -> None:
    first = rows.push_to_hub("me/talk").oid
    rows.select([0]).push_to_hub("me/talk")
    assert datasets.load_dataset("me/talk", split="train").to_list() == rows.to_list()[:1]
    assert datasets.load_dataset("me/talk", revision=first, split="train").to_list() == rows.to_list()
    streamed = datasets.load_dataset("me/talk", revision=first, split="train", streaming=True)
    assert list(streamed) == rows.to_list()


def test_a_pushed_dataset_has_data_and_card(hub: Hub, rows: datasets.Dataset) -> None:
    datasets.DatasetDict({"seed": rows, "synthetic": rows}).push_to_hub("me/talk", "default", revision="draft")
    names = {"README.md", "data/seed-00000-of-00001.parquet", "data/synthetic-00000-of-00001.parquet"}
    assert set(hub.files("datasets/me/talk", "draft")) == names | {".gitattributes"}
    assert set(hub.files("datasets/me/talk")) == {".gitattributes"}
    loaded = datasets.load_dataset("me/talk", revision="draft")
    assert {split: part.num_rows for split, part in loaded.items()} == {"seed": 2, "synthetic": 2}


def test_a_dataset_without_a_card_is_loaded_by_its_files(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {"train.jsonl": b'{"text": "Boil the rice."}\n'})
    assert datasets.load_dataset("me/talk", split="train")["text"] == ["Boil the rice."]


def test_a_card_with_broken_metadata_is_refused(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {})
    with pytest.raises(ValueError, match="Invalid metadata"):
        HfApi().upload_file(
            repo_id="me/talk", repo_type="dataset", path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md"
        )


# Spaces


def test_a_space_is_created_and_filled(hub: Hub) -> None:
    url = HfApi().create_repo("me/demo", repo_type="space", space_sdk="gradio", space_hardware=SpaceHardware.CPU_BASIC)
    HfApi().upload_file(repo_id="me/demo", repo_type="space", path_or_fileobj=b"pass\n", path_in_repo="app.py")
    assert url == f"{hub.url}/spaces/me/demo"
    assert hub.files("spaces/me/demo")["app.py"] == b"pass\n"
    assert HfApi().space_info("me/demo").sdk == "gradio"


# Rights


def test_a_token_tells_whose_it_is(hub: Hub) -> None:
    assert get_token() == WRITE_TOKEN
    assert HfApi().whoami()["name"] == "me"
    assert HfApi(token=OTHER_TOKEN).whoami()["name"] == "other"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(token="hf_unknown").whoami()


@pytest.mark.parametrize("token", [False, OTHER_TOKEN])
def test_a_private_repository_is_hidden_from_others(hub: Hub, token: str | bool) -> None:
    HfApi().create_repo("me/talk", repo_type="dataset", private=True)
    hub.seed("datasets/me/talk", {"train.jsonl": b'{"text": "a"}\n'})
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=token).dataset_info("me/talk")
    with pytest.raises(RepositoryNotFoundError):
        snapshot_download("me/talk", repo_type="dataset", token=token)
    with pytest.raises(datasets.exceptions.DatasetNotFoundError):
        datasets.load_dataset("me/talk", token=token)
    assert datasets.load_dataset("me/talk", split="train", token=READ_TOKEN)["text"] == ["a"]


def test_a_repository_becomes_public(hub: Hub) -> None:
    HfApi().create_repo("me/sae", private=True)
    HfApi().update_repo_settings("me/sae", private=False)
    assert not HfApi(token=False).model_info("me/sae").private


@pytest.mark.parametrize(("token", "status"), [(READ_TOKEN, 403), (OTHER_TOKEN, 403), (False, 401)])
def test_only_the_owner_with_a_write_token_writes(hub: Hub, token: str | bool, status: int) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    api = HfApi(token=token)
    for attempt in (
        lambda: api.create_repo("me/new"),
        lambda: api.upload_file(repo_id="me/sae", path_or_fileobj=b"x", path_in_repo="x"),
        lambda: api.create_branch("me/sae", branch="draft"),
        lambda: api.delete_repo("me/sae"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            attempt()
        assert caught.value.response.status_code == status
    assert set(hub.repositories) == {"me/sae"}
    assert set(hub.files("me/sae")) == {".gitattributes", "config.json"}


def test_anyone_with_a_write_token_proposes(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    commit = HfApi(token=OTHER_TOKEN).upload_file(
        repo_id="me/sae", path_or_fileobj=WEIGHTS, path_in_repo="weights.bin", create_pr=True
    )
    assert commit.pr_num == 1
    assert "weights.bin" not in hub.files("me/sae")
    assert hub.files("me/sae", "refs/pr/1")["weights.bin"] == WEIGHTS
    assert Path(hf_hub_download("me/sae", "weights.bin", revision="refs/pr/1")).read_bytes() == WEIGHTS


# Repositories, branches, tags, deletions


def test_a_repository_is_created_once(hub: Hub) -> None:
    first = HfApi().create_repo("me/sae")
    assert HfApi().create_repo("me/sae", exist_ok=True) == first
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().create_repo("me/sae")
    assert caught.value.response.status_code == 409
    HfApi().create_repo("me/sae", repo_type="dataset")
    assert set(hub.repositories) == {"me/sae", "datasets/me/sae"}


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


def test_what_is_missing_is_named(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG})
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("me/sae", "absent.json")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("me/sae", "config.json", revision="absent")
    with pytest.raises(RevisionNotFoundError):
        HfApi().upload_file(repo_id="me/sae", path_or_fileobj=b"x", path_in_repo="x", revision="absent")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("me/absent", "config.json")


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


# Faults


def test_a_passing_fault_before_the_commit_is_retried(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    hub.fail("POST .*/preupload/", status=503)
    HfApi().upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert len(hub.requests("POST .*/preupload/")) == 2
    assert hub.files("me/sae")["config.json"] == CONFIG


def test_a_commit_that_fails_is_not_retried(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    hub.fail("POST .*/commit/", status=503, headers={"Retry-After": "0"})
    with pytest.raises(HfHubHTTPError, match="injected fault"):
        HfApi().upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert len(hub.requests("POST .*/commit/")) == 1
    assert "config.json" not in hub.files("me/sae")


@pytest.mark.parametrize(("cut", "applied"), [("before", False), ("middle", False), ("after", True)])
def test_a_commit_that_is_cut_raises_and_may_have_been_applied(hub: Hub, cut: Cut, applied: bool) -> None:
    HfApi().create_repo("me/sae")
    hub.fail("POST .*/commit/", cut=cut)
    with pytest.raises(httpx2.TransportError):
        HfApi().upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert ("config.json" in hub.files("me/sae")) == applied


def test_an_upload_cut_in_its_middle_is_repeated(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    content = bytes(3 * 2**20)
    hub.fail("PUT ", cut="middle")
    HfApi().upload_file(repo_id="me/sae", path_or_fileobj=content, path_in_repo="weights.bin")
    assert len(hub.requests("PUT ")) == 2
    assert hub.files("me/sae")["weights.bin"] == content


def test_a_download_cut_in_its_middle_is_completed(hub: Hub) -> None:
    hub.seed("me/sae", {"weights.bin": WEIGHTS})
    hub.fail("GET .*/weights.bin", cut="middle")
    assert Path(hf_hub_download("me/sae", "weights.bin")).read_bytes() == WEIGHTS
    assert len(hub.requests("GET .*/weights.bin")) == 2


def test_a_fault_may_come_later_and_stay_until_recovery(hub: Hub) -> None:
    hub.seed("me/sae", {})
    hub.fail("GET /api/models/me/sae$", status=500, skip=1, times=math.inf)
    HfApi().model_info("me/sae")
    for _ in range(2):
        with pytest.raises(HfHubHTTPError):
            HfApi().model_info("me/sae")
    hub.recover()
    HfApi().model_info("me/sae")


# The clients


def test_each_test_has_an_empty_hub_and_empty_caches(hub: Hub) -> None:
    assert not hub.repositories
    assert Path(constants.HF_HUB_CACHE).is_relative_to(hub.home)
    assert datasets.config.HF_DATASETS_CACHE.is_relative_to(hub.home)
    hub.seed("me/sae", {"config.json": CONFIG})
    hf_hub_download("me/sae", "config.json")
    assert [repo.repo_id for repo in scan_cache_dir().repos] == ["me/sae"]


def test_a_subprocess_meets_the_same_hub(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG}, private=True)
    code = "from huggingface_hub import hf_hub_download; print(hf_hub_download('me/sae', 'config.json'))"
    path = Path(subprocess.check_output([sys.executable, "-c", code], env=hub.environment(), text=True).strip())
    assert path.read_bytes() == CONFIG
    assert path.is_relative_to(hub.home)


def test_everything_is_as_before_afterwards(tmp_path: Path) -> None:
    before = [dict(vars(module)) for module in setting_modules()]
    with Hub(tmp_path) as running, pytest.MonkeyPatch.context() as patch:
        connect(running, patch)
        running.seed("me/sae", {"config.json": CONFIG})
        assert HfApi().model_info("me/sae").sha
        assert [dict(vars(module)) for module in setting_modules()] != before
        drop_connections()
    assert [dict(vars(module)) for module in setting_modules()] == before
    assert not HfFileSystem._cache
    assert running.requests() == ["GET /api/models/me/sae"]
