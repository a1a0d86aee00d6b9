"""Files in the double, seen through the real client: they come back as they were uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from tests.servers.hub_double import Hub
from tests.servers.hub_double.conftest import CONFIG, WEIGHTS

pytestmark = pytest.mark.slow


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
