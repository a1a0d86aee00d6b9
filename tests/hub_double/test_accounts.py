"""Accounts of the double, seen through the real client: who may read, write and propose."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.hub_double import OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Hub
from tests.hub_double.conftest import CONFIG, WEIGHTS


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
