"""Accounts of the double, seen through the real client: who may read, write and propose."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.servers.hub_double import FINE_TOKEN, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Hub
from tests.servers.hub_double.conftest import CONFIG, WEIGHTS

pytestmark = pytest.mark.slow


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


# Organizations


def test_an_account_tells_its_organizations_and_its_roles_in_them(hub: Hub) -> None:
    found = HfApi().whoami()["orgs"]
    assert [(org["name"], org["roleInOrg"]) for org in found] == [("team", "write"), ("readers", "read")]
    assert HfApi(token=OTHER_TOKEN).whoami()["orgs"] == []


def test_a_member_who_writes_creates_and_fills_repositories_of_an_organization(hub: Hub) -> None:
    HfApi().create_repo("team/sae", private=True)
    HfApi().upload_file(repo_id="team/sae", path_or_fileobj=WEIGHTS, path_in_repo="weights.bin")
    assert hub.files("team/sae")["weights.bin"] == WEIGHTS


@pytest.mark.parametrize(("owner", "token"), [("readers", WRITE_TOKEN), ("team", READ_TOKEN), ("team", OTHER_TOKEN)])
def test_others_neither_create_nor_fill_repositories_of_an_organization(hub: Hub, owner: str, token: str) -> None:
    hub.seed(f"{owner}/sae", {"config.json": CONFIG})
    api = HfApi(token=token)
    for attempt in (
        lambda: api.create_repo(f"{owner}/new"),
        lambda: api.upload_file(repo_id=f"{owner}/sae", path_or_fileobj=b"x", path_in_repo="x"),
        lambda: api.delete_repo(f"{owner}/sae"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            attempt()
        assert caught.value.response.status_code == 403
    assert set(hub.repositories) == {f"{owner}/sae"}


def test_a_private_repository_of_an_organization_is_for_its_members(hub: Hub) -> None:
    hub.seed("readers/sae", {"config.json": CONFIG}, private=True)
    assert Path(hf_hub_download("readers/sae", "config.json")).read_bytes() == CONFIG
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=OTHER_TOKEN).model_info("readers/sae")


# Fine-grained tokens


def test_a_fine_grained_token_reads_as_its_account(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG}, private=True)
    assert Path(hf_hub_download("me/sae", "config.json", token=FINE_TOKEN)).read_bytes() == CONFIG
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(token=FINE_TOKEN).upload_file(repo_id="me/sae", path_or_fileobj=b"x", path_in_repo="x")
    assert caught.value.response.status_code == 403


def test_a_fine_grained_token_writes_where_it_was_made_to(hub: Hub) -> None:
    hub.accounts.fine_token_writes = True
    HfApi(token=FINE_TOKEN).create_repo("me/sae")
    HfApi(token=FINE_TOKEN).upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert hub.files("me/sae")["config.json"] == CONFIG


@pytest.mark.parametrize("writes", [False, True])
def test_a_fine_grained_token_tells_its_permissions(hub: Hub, writes: bool) -> None:
    hub.accounts.fine_token_writes = writes
    token = HfApi(token=FINE_TOKEN).whoami()["auth"]["accessToken"]
    assert token["role"] == "fineGrained"
    (scope,) = token["fineGrained"]["scoped"]
    assert ("repo.write" in scope["permissions"]) == writes
