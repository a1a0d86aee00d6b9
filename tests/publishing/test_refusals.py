"""What people and the Hub get wrong: one clear error each, and nothing half-published."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.publishing.commit import commit_files
from fac_datasets.publishing.publication import publish_files
from fac_datasets.publishing.target import HubTarget
from tests.publishing.conftest import Case
from tests.servers.hub_double import FINE_TOKEN, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Hub

CARD = "---\nlicense: mit\n---\nText.\n"


def publish(repo_id: str = "me/data", **options: Any) -> object:
    """Publish one file to a dataset repository."""
    return commit_files(
        HubTarget(repo_id, **options),
        "dataset",
        {"a.txt": b"a"},
        lambda _card, _others: CARD,
        title="Publish",
    )


def unchanged(hub: Hub) -> bool:
    return not any(len(repository.commits) > 1 for repository in hub.repositories.values())


def test_without_a_token_it_says_how_to_get_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match="no token for the Hub: log in with `hf auth login`, or set HF_TOKEN"):
        publish()
    assert hub.requests() == []


def test_a_token_that_is_not_known_is_refused(hub: Hub) -> None:
    with pytest.raises(PublishError, match="the Hub does not know the token") as refused:
        publish(token="hf_wrong")
    assert "hf_wrong" not in str(refused.value)


def test_a_token_that_may_only_read_is_refused_before_anything_is_made(hub: Hub) -> None:
    with pytest.raises(PublishError, match="the token may only read; make one with write access"):
        publish(token=READ_TOKEN)
    assert hub.repositories == {}


def test_a_fine_grained_token_without_the_right_is_refused(hub: Hub) -> None:
    with pytest.raises(PublishError, match="the token may not write to me/data"):
        publish(token=FINE_TOKEN)
    assert hub.repositories == {}


def test_somebody_elses_name_is_refused(hub: Hub) -> None:
    with pytest.raises(PublishError, match="'other' is neither 'me', to whom the token belongs, nor one of the org"):
        publish("other/data")
    assert hub.repositories == {}


def test_an_organization_is_published_to_by_those_who_may_write_there(hub: Hub) -> None:
    publish("team/data")
    assert hub.files("datasets/team/data")["a.txt"] == b"a"
    with pytest.raises(PublishError, match="'me' may only read in the organization 'readers'"):
        publish("readers/data")


def test_a_renamed_repository_is_named(hub: Hub) -> None:
    hub.seed("datasets/me/old", {"a.txt": b"1"}, private=True)
    hub.rename("datasets/me/old", "datasets/me/new")
    with pytest.raises(PublishError, match="me/old was renamed to me/new; publish there"):
        publish("me/old")
    assert hub.files("datasets/me/new")["a.txt"] == b"1"


def test_a_gated_repository_of_somebody_elses_is_named(hub: Hub) -> None:
    hub.seed("datasets/other/data", {"README.md": b"Theirs."}, private=False)
    hub.repositories["datasets/other/data"].gated = "manual"
    with pytest.raises(PublishError, match="other/data is gated; ask for access on its page"):
        publish("other/data", create_pr=True)


def test_a_proposal_needs_something_to_propose_to(hub: Hub) -> None:
    with pytest.raises(PublishError, match="there is no dataset me/data, to which something can be proposed"):
        publish(create_pr=True)


def test_a_header_that_the_hub_refuses_is_told_with_its_reason(hub: Hub, case: Case) -> None:
    with pytest.raises(PublishError, match=r"(?s)the Hub refuses what was to be published.*my-own-licence"):
        case.publish(license="my-own-licence")
    assert unchanged(hub)
    assert hub.large_files == {}


def test_a_card_whose_header_cannot_be_read_is_left_alone(hub: Hub, case: Case) -> None:
    hub.seed("datasets/me/data", {"README.md": b"---\n[broken\n---\nMine.\n"}, private=True)
    with pytest.raises(PublishError, match="the header of the card that is there cannot be read"):
        case.publish()
    assert hub.files("datasets/me/data")["README.md"] == b"---\n[broken\n---\nMine.\n"


def test_a_card_that_is_no_text_is_left_alone(hub: Hub) -> None:
    hub.seed("datasets/me/data", {"README.md": b"\xff\xfe"}, private=True)
    with pytest.raises(PublishError, match=r"README\.md of me/data is not UTF-8"):
        publish()


def test_a_hub_out_of_reach_is_told(hub: Hub, no_waiting: list[float]) -> None:
    hub.fail("", cut="before", times=math.inf)
    with pytest.raises(PublishError, match=r"the Hub cannot be reached for me/data .*; what was uploaded is kept"):
        publish()


def test_offline_mode_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="me/data cannot be published, since HF_HUB_OFFLINE is set; unset it"):
        publish()


def test_an_upload_that_fails_for_good_commits_nothing(hub: Hub, case: Case, no_waiting: list[float]) -> None:
    hub.fail("PUT /large-files", status=503, times=math.inf)
    with pytest.raises(PublishError, match="HTTP 503"):
        case.publish()
    assert unchanged(hub)
    hub.recover()
    case.publish()
    assert "data/train-00000-of-00001.parquet" in hub.files("datasets/me/data")


def test_a_full_disk_is_told_before_anything_is_asked(
    hub: Hub, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    # It answers every write as a full disk does.
    (tmp_path / "data" / ".seed-00000-of-00001.parquet").symlink_to("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda: nullcontext(str(tmp_path)))
    with pytest.raises(PublishError, match=r"cannot be written to .*No space left on device; make room, or name"):
        case.publish()
    assert hub.requests() == []


@pytest.mark.parametrize("call", [lambda: HubTarget("a b"), lambda: HubTarget("a/b/c")])
def test_an_id_that_cannot_be_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(OptionError, match="is no id of a repository"):
        call()


def test_no_error_tells_the_token(hub: Hub, no_waiting: list[float]) -> None:
    for fault in ({"status": 403}, {"status": 500}, {"status": 401}, {"cut": "before"}):
        hub.fail("POST .*/commit/", times=9, **fault)
        with pytest.raises(PublishError) as refused:
            publish()
        assert WRITE_TOKEN not in str(refused.value)
        hub.recover()
    assert OTHER_TOKEN != WRITE_TOKEN


def test_what_is_published_by_hand_is_looked_through_too(hub: Hub) -> None:
    key = "ghp_" + "aB3" * 12
    with pytest.raises(PublishError, match=r"line 1 of notes\.txt holds what looks like a token of GitHub"):
        publish_files(HubTarget("me/data"), "dataset", {"notes.txt": key.encode()}, CARD, title="Publish")
    assert hub.requests() == []
