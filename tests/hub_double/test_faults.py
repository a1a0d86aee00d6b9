"""Faults of the double, seen through the real client."""

from __future__ import annotations

import math
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from tests.hub_double import Cut, Hub
from tests.hub_double.conftest import CONFIG, WEIGHTS


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
