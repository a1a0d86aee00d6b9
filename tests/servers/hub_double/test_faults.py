"""Faults of the double, and events between its requests, seen through the real client."""

from __future__ import annotations

import math
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from tests.servers.hub_double import Cut, Hub
from tests.servers.hub_double.conftest import CONFIG, WEIGHTS

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("cut", [None, "before"])
@pytest.mark.parametrize("skip", [0, 1, 3])
def test_a_fault_without_a_pattern_strikes_exactly_one_request(hub: Hub, skip: int, cut: Cut | None) -> None:
    hub.seed("me/sae", {})
    HfApi().model_info("me/sae")
    hub.fail("", status=500, skip=skip, cut=cut)
    failed = []
    for number in range(5):
        try:
            HfApi().model_info("me/sae")
        except (HfHubHTTPError, httpx2.TransportError):
            failed.append(number)
    assert failed == [skip]


def test_faults_count_the_requests_that_another_strikes(hub: Hub) -> None:
    hub.seed("me/sae", {})
    for skip in (2, 0, 1):
        hub.fail("", status=500 + skip, skip=skip)
    found = []
    for _ in range(3):
        with pytest.raises(HfHubHTTPError) as caught:
            HfApi().model_info("me/sae")
        found.append(caught.value.response.status_code)
    assert found == [500, 501, 502]
    HfApi().model_info("me/sae")


def test_faults_that_are_due_at_once_strike_in_turn(hub: Hub) -> None:
    hub.seed("me/sae", {})
    for status in (500, 501):
        hub.fail("GET", status=status)
    for status in (500, 501):
        with pytest.raises(HfHubHTTPError) as caught:
            HfApi().model_info("me/sae")
        assert caught.value.response.status_code == status
    HfApi().model_info("me/sae")


def test_a_commit_may_meet_a_conflict(hub: Hub) -> None:
    HfApi().create_repo("me/sae")
    hub.fail("POST .*/commit/", status=409)
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().upload_file(repo_id="me/sae", path_or_fileobj=CONFIG, path_in_repo="config.json")
    assert caught.value.response.status_code == 409
    assert "config.json" not in hub.files("me/sae")


# Events


def test_someone_else_commits_right_before_a_commit(hub: Hub) -> None:
    parent = hub.seed("me/sae", {"config.json": CONFIG})
    hub.before("POST .*/commit/main", lambda: hub.seed("me/sae", {"notes.txt": b"meanwhile"}))
    change = [CommitOperationAdd("config.json", b"{}")]
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().create_commit("me/sae", change, commit_message="c", parent_commit=parent)
    assert caught.value.response.status_code == 412
    assert hub.files("me/sae")["notes.txt"] == b"meanwhile"
    HfApi().create_commit("me/sae", [CommitOperationAdd("config.json", b"{}")], commit_message="c")
    assert len(list(hub.repositories["me/sae"].history("main"))) == 4


def test_an_event_may_use_the_client(hub: Hub) -> None:
    hub.seed("me/sae", {})
    hub.before("GET", lambda: HfApi().create_tag("me/sae", tag="v1"))
    assert [tag.name for tag in HfApi().list_repo_refs("me/sae").tags] == ["v1"]


@pytest.mark.parametrize("skip", [0, 2])
def test_an_event_without_a_pattern_comes_before_exactly_one_request(hub: Hub, skip: int) -> None:
    hub.seed("me/sae", {})
    HfApi().model_info("me/sae")
    seen: list[int] = []
    hub.before("", lambda: seen.append(len(hub.requests())), skip=skip)
    for _ in range(4):
        HfApi().model_info("me/sae")
    assert seen == [skip + 2]


def test_an_event_may_come_before_a_request_that_fails(hub: Hub) -> None:
    hub.seed("me/sae", {})
    hub.fail("GET", status=500)
    hub.before("GET", lambda: hub.rename("me/sae", "me/new"))
    with pytest.raises(HfHubHTTPError):
        HfApi().model_info("me/sae")
    assert set(hub.repositories) == {"me/new"}


def test_recovery_calls_events_off(hub: Hub) -> None:
    hub.seed("me/sae", {})
    hub.before("", hub.repositories.clear)
    hub.recover()
    assert HfApi().model_info("me/sae").id == "me/sae"
