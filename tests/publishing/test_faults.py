"""Whatever goes wrong at whichever request, a publication ends in the state of an undisturbed one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import get_session

from fac_datasets.errors import PublishError
from fac_datasets.publishing import commit
from fac_datasets.publishing.commit import MANIFEST, Commit, commit_files
from fac_datasets.publishing.merging import merge_card
from fac_datasets.publishing.target import HubTarget
from tests.publishing.conftest import Case
from tests.servers.hub_double import Hub, connect, drop_connections

FAULTS: dict[str, dict[str, Any]] = {
    "busy for a second": {"status": 429, "headers": {"Retry-After": "1"}},
    "internal error": {"status": 500},
    "unavailable": {"status": 503},
    "connection cut before": {"cut": "before"},
    "answer cut": {"cut": "middle"},
    "answer lost": {"cut": "after"},
    "conflict": {"status": 409},
    "silence": {"cut": "silence"},
}
"""What passes, so that a publication gets over it by itself."""

REFUSALS: dict[str, tuple[int, str]] = {
    "precondition failed": (412, "the Hub did not take what was published to me/data: HTTP 412"),
    "forbidden": (403, "the token may not write to me/data"),
    "not known": (401, "the Hub does not know the token"),
    "too large": (413, "the Hub did not take what was published to me/data: HTTP 413"),
}
"""What a server says on purpose: an error, after which the same call ends well once the reason is gone."""

STATE: dict[str, bytes | Path] = {
    "data/train-00000-of-00001.parquet": b"PAR1 rows",
    "provenance/train-00000-of-00001.parquet": b"PAR1 provenance",
    "report.json": b"{}\n",
}
NEW_REPOSITORY = HubTarget("me/data", public=True, revision="draft", tag="v1")
PULL_REQUEST = HubTarget("me/data", create_pr=True)


@dataclass(frozen=True)
class Scene:
    """A publication, and the Hub that it starts from."""

    target: HubTarget
    prepare: Callable[[Hub], object]

    @property
    def branch(self) -> str:
        """Where the published state stands."""
        return "refs/pr/1" if self.target.create_pr else self.target.branch

    def publish(self) -> Commit:
        """Publish."""
        return commit_files(self.target, "dataset", STATE, card, title="Publish")


def card(existing: str | None, _others: list[str]) -> str:
    """The card of the published state."""
    return merge_card(existing, "---\nlicense: mit\n---\nOurs.\n")


def with_data(hub: Hub) -> None:
    """A repository with a card, a file of people's own, and one of an earlier state."""
    files = {"README.md": b"Mine.\n", "mine.txt": b"1", "old/x.parquet": b"PAR1", "report.json": b"[]\n"}
    manifest = json.dumps({"files": ["old/x.parquet", "report.json"]}).encode()
    hub.seed("datasets/me/data", {**files, MANIFEST: manifest}, private=True)


SCENES = {
    "a new repository, branch and tag, made public": Scene(NEW_REPOSITORY, lambda _hub: None),
    "a repository with data": Scene(HubTarget("me/data", tag="v1"), with_data),
    "a pull request": Scene(PULL_REQUEST, with_data),
}


def state(hub: Hub, scene: Scene) -> dict[str, Any]:
    """All of a repository that a publication can change."""
    repository = hub.repositories["datasets/me/data"]
    return {
        "files": hub.files("datasets/me/data", scene.branch),
        "main": hub.files("datasets/me/data"),
        "commits": [commit.title for commit in repository.history(scene.branch)],
        "branches": sorted(repository.branches),
        "tags": {tag: hub.files("datasets/me/data", tag) for tag in repository.tags},
        "pull requests": sorted(repository.pull_requests),
        "private": repository.private,
    }


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]) -> Callable[[Scene], Hub]:
    """Makes one Hub after the other."""
    running: list[Hub] = []

    def start(scene: Scene) -> Hub:
        while running:
            running.pop().__exit__()
        hub = Hub(tmp_path / f"home{len(list(tmp_path.iterdir()))}")
        hub.home.mkdir()
        running.append(hub.__enter__())
        connect(hub, monkeypatch)
        scene.prepare(hub)
        return hub

    return start


def clean_run(start: Callable[[Scene], Hub], scene: Scene) -> tuple[list[str], dict[str, Any]]:
    """Requests of an undisturbed publication, and the state it ends in."""
    hub = start(scene)
    scene.publish()
    requests = hub.requests()
    assert len(requests) > 8
    return requests, state(hub, scene)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is silent after a third of a second."""
    monkeypatch.setattr(commit, "SILENCE", 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_what_passes_is_got_over_at_every_request(
    fresh: Callable[[Scene], Hub], scene: Scene, fault: str, no_waiting: list[float]
) -> None:
    requests, wanted = clean_run(fresh, scene)
    for place, line in enumerate(requests):
        hub = fresh(scene)
        hub.fail("", skip=place, **FAULTS[fault])
        scene.publish()
        assert state(hub, scene) == wanted, f"{fault} at request {place}: {line}"
    if fault == "busy for a second":
        assert 1.0 in no_waiting or 2.0 in no_waiting


@pytest.mark.slow
@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_after_a_refusal_the_same_call_ends_well(fresh: Callable[[Scene], Hub], scene: Scene, fault: str) -> None:
    requests, wanted = clean_run(fresh, scene)
    for place, line in enumerate(requests):
        hub = fresh(scene)
        status, told = REFUSALS[fault]
        hub.fail("", skip=place, status=status)
        try:
            scene.publish()
        except PublishError as refusal:
            assert told in str(refusal), f"{fault} at request {place}: {line}"
            assert all_or_nothing(hub, scene, wanted), f"{fault} at request {place}: {line}"
            scene.publish()
        assert state(hub, scene) == wanted, f"{fault} at request {place}: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_page_of_a_proxy_is_got_over_or_an_error_at_every_request(
    fresh: Callable[[Scene], Hub], scene: Scene, no_waiting: list[float]
) -> None:
    requests, wanted = clean_run(fresh, scene)
    for place, line in enumerate(requests):
        hub = fresh(scene)
        hub.fail("", skip=place, cut="page")
        try:
            scene.publish()
        except PublishError:
            assert all_or_nothing(hub, scene, wanted), f"at request {place}: {line}"
            scene.publish()
        assert state(hub, scene) == wanted, f"at request {place}: {line}"


def all_or_nothing(hub: Hub, scene: Scene, wanted: dict[str, Any]) -> bool:
    """Whether a reader of the published branch finds the earlier state or the new one."""
    repository = hub.repositories.get("datasets/me/data")
    if repository is None or scene.branch not in {*repository.branches, *repository.pull_requests}:
        return True
    files = hub.files("datasets/me/data", scene.branch)
    return files == wanted["files"] or not {*STATE} & {path for path in files if files[path] == STATE.get(path)}


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_somebody_elses_commit_in_between_is_never_lost(fresh: Callable[[Scene], Hub], scene: Scene) -> None:
    requests, _ = clean_run(fresh, scene)
    named = 0
    for place, line in enumerate(requests):
        hub = fresh(scene)
        hub.before("", partial(_somebody_commits, hub, scene.target.branch), skip=place)
        try:
            scene.publish()
        except PublishError as error:
            assert "somebody else has committed to me/data meanwhile" in str(error), f"at request {place}: {line}"
            assert "'Seed'" in str(error)
            assert hub.files("datasets/me/data", scene.target.branch).get("report.json") != b"{}\n"
            named += 1
            scene.publish()
        if theirs := hub.repositories["datasets/me/data"].branches.get(scene.target.branch):
            assert _has_theirs(hub, theirs), f"at request {place}: {line}"
        assert hub.files("datasets/me/data", scene.branch)["report.json"] == b"{}\n"
    assert scene.target.create_pr or named > 0


def _somebody_commits(hub: Hub, branch: str) -> None:
    if (repository := hub.repositories.get("datasets/me/data")) and branch in repository.branches:
        hub.seed("datasets/me/data", {"theirs.txt": b"kept"}, revision=branch)


def _has_theirs(hub: Hub, revision: str) -> bool:
    """Whether somebody's file is there if they had the chance to commit it."""
    titles = [commit.title for commit in hub.repositories["datasets/me/data"].history(revision)]
    return hub.files("datasets/me/data", revision).get("theirs.txt") == b"kept" or titles.count("Seed") < 2


class Killed(BaseException):
    """Ends a publication where it would wait, as a signal would."""


def kill(_seconds: float) -> None:
    raise Killed


@pytest.mark.slow
def test_a_kill_at_every_request_loses_nothing(fresh: Callable[[Scene], Hub]) -> None:
    for name, scene in SCENES.items():
        requests, wanted = clean_run(fresh, scene)
        for place, line in enumerate(requests):
            for cut in ("before", "after"):
                hub = fresh(scene)
                hub.fail("", skip=place, cut=cut)
                with pytest.MonkeyPatch.context() as patch, suppress(Killed):
                    patch.setattr("time.sleep", kill)
                    scene.publish()
                drop_connections()
                scene.publish()
                assert state(hub, scene) == wanted, f"{name}: killed {cut} request {place}: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["unavailable", "answer lost"])
def test_a_whole_dataset_gets_over_faults_at_every_request(
    fresh: Callable[[Scene], Hub], case: Case, fault: str
) -> None:
    scene = SCENES["a new repository, branch and tag, made public"]
    options: Mapping[str, Any] = {"public": True, "revision": "draft", "tag": "v1"}
    hub = fresh(scene)
    case.publish(**options)
    wanted = state(hub, scene)
    for place, line in enumerate(hub.requests()):
        hub = fresh(scene)
        hub.fail("", skip=place, **FAULTS[fault])
        case.publish(**options)
        assert state(hub, scene) == wanted, f"{fault} at request {place}: {line}"


def test_a_hub_that_stays_away_is_asked_six_times_and_then_an_error(
    fresh: Callable[[Scene], Hub], no_waiting: list[float]
) -> None:
    scene = SCENES["a repository with data"]
    hub = fresh(scene)
    hub.fail("POST .*/commit/", status=503, times=99)
    with pytest.raises(PublishError, match=r"HTTP 503.*what was uploaded is kept, and the same command goes on"):
        scene.publish()
    assert len(hub.requests("POST .*/commit/")) == 6
    hub.recover()
    uploads = len(hub.requests("PUT /large-files"))
    scene.publish()
    assert len(hub.requests("PUT /large-files")) == uploads
    assert hub.files("datasets/me/data")["report.json"] == b"{}\n"


def test_a_wait_that_the_hub_asks_for_is_kept(fresh: Callable[[Scene], Hub], no_waiting: list[float]) -> None:
    scene = SCENES["a repository with data"]
    fresh(scene).fail("POST .*/commit/", status=429, headers={"Retry-After": "7"})
    scene.publish()
    assert 7.0 in no_waiting


def test_a_commit_whose_answer_was_lost_is_not_made_twice(fresh: Callable[[Scene], Hub]) -> None:
    scene = SCENES["a repository with data"]
    hub = fresh(scene)
    hub.fail("POST .*/commit/", cut="after")
    made = scene.publish()
    assert len(hub.requests("POST .*/commit/")) == 1
    assert made.commit == hub.repositories["datasets/me/data"].branches["main"]


def test_a_hub_that_never_answers_is_an_error_and_not_a_wait_without_end(fresh: Callable[[Scene], Hub]) -> None:
    fresh(SCENES["a repository with data"]).fail("POST .*/commit/", cut="silence", times=99)
    begin = time.monotonic()
    with pytest.raises(PublishError, match=r"the Hub cannot be reached for me/data \(ReadTimeout.*goes on"):
        SCENES["a repository with data"].publish()
    assert time.monotonic() - begin < 20


def test_the_patience_of_the_users_own_client_is_left_alone(fresh: Callable[[Scene], Hub]) -> None:
    fresh(SCENES["a repository with data"])
    before = get_session().event_hooks
    SCENES["a repository with data"].publish()
    assert get_session().event_hooks == before


@pytest.mark.parametrize(
    ("request_line", "lacking"), [("PUT .*/settings", "it is still private"), ("POST .*/tag/", "it has no tag 'v1'")]
)
def test_what_fails_behind_the_commit_is_told_as_that(
    fresh: Callable[[Scene], Hub], request_line: str, lacking: str
) -> None:
    scene = SCENES["a new repository, branch and tag, made public"]
    hub = fresh(scene)
    hub.fail(request_line, status=403)
    with pytest.raises(PublishError, match=rf"published as http.*/commit/\w+, but {lacking}: the token may not write"):
        scene.publish()
    assert hub.files("datasets/me/data", scene.branch)["report.json"] == b"{}\n"
    hub.recover()
    assert scene.publish().changed == ()


@pytest.mark.parametrize("request_line", ["PUT .*/settings", "POST .*/tag/", "POST .*/branch/"])
def test_a_page_in_place_of_an_answer_is_no_success(
    fresh: Callable[[Scene], Hub], request_line: str, no_waiting: list[float]
) -> None:
    scene = SCENES["a new repository, branch and tag, made public"]
    fresh(scene).fail(request_line, cut="page", times=99)
    with pytest.raises(PublishError, match=r"the Hub did not .* look for a proxy in between"):
        scene.publish()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_in_place_of_a_file_is_got_over_or_said_in_a_sentence(
    fresh: Callable[[Scene], Hub], method: str, no_waiting: list[float]
) -> None:
    scene = SCENES["a repository with data"]
    hub = fresh(scene)
    hub.fail(f"{method} .*/resolve/", cut="page", times=99)
    with pytest.raises(
        PublishError, match=r"the Hub did not send \.fac-datasets\.json for me/data.* look for a proxy"
    ) as no:
        scene.publish()
    assert "\n" not in str(no.value)
    hub.recover()
    hub.fail(f"{method} .*/resolve/", cut="page", times=2)
    assert scene.publish().changed
