"""Keys stop a publication, also those that would only become public by it; what was named by its digest passes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import SparseAutoencoder, augment
from fac_datasets.errors import PublishError
from fac_datasets.publishing import commit
from fac_datasets.publishing.publication import Published, publish_files
from fac_datasets.publishing.secrets import secrets_in_files
from fac_datasets.publishing.target import HubTarget
from tests.command_line import command
from tests.publishing.conftest import NEW_TEXTS, Case, synthetic_rows
from tests.servers.hub_double.server import Hub

# Put together here, so that no scanner takes this file for a leak.
KEY = "ghp" + "_" + "aB3" * 12
DIGEST = str(secrets_in_files({"a": KEY.encode()})[0].digest)
REPOSITORY = "datasets/me/data"
CARD = "---\nlicense: mit\n---\nOurs.\n"
THEIRS = f"---\nlicense: mit\n---\nMy words.\n\nMy key is {KEY}.\n"


def publish(files: dict[str, bytes] | None = None, *, public: bool = False, **options: Any) -> Published:
    """Publish some files to a dataset repository."""
    target = HubTarget("me/data", public=public)
    return publish_files(target, "dataset", files or {"a.txt": b"a"}, CARD, title="Publish", **options)


def untouched(hub: Hub, name: str = REPOSITORY) -> bool:
    repository = hub.repositories[name]
    return repository.private and repository.find("main").title == "Seed"


@pytest.mark.parametrize("public", [False, True])
def test_a_key_in_the_card_that_is_there_already_stops_it(hub: Hub, public: bool) -> None:
    hub.seed(REPOSITORY, {"README.md": THEIRS.encode()}, private=True)
    expected = rf"^line \d+ of README.md holds .* token of GitHub \({DIGEST}\)\. "
    with pytest.raises(PublishError, match=expected) as refused:
        publish(public=public)
    assert KEY not in str(refused.value)
    assert untouched(hub)


def test_a_key_in_a_file_that_would_become_public_stops_it(hub: Hub) -> None:
    hub.seed(REPOSITORY, {"notes.txt": KEY.encode(), "pictures/a.png": b"\x89PNG"}, private=True)
    with pytest.raises(PublishError, match=r"^line 1 of notes\.txt holds what looks like a token of GitHub"):
        publish(public=True)
    assert untouched(hub)
    publish()
    assert hub.repositories[REPOSITORY].private


def test_large_files_that_become_public_are_counted(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commit, "_LARGEST_SHOWN", 3)
    hub.seed(REPOSITORY, {"notes.txt": b"long", "b.txt": b"b"}, private=True)
    publish(public=True)
    assert "me/data becomes public with files of more than 0 MiB, which are not looked through" in caplog.text
    assert not hub.repositories[REPOSITORY].private


@pytest.mark.parametrize("path", ["README.md", "notes.txt", ".gitattributes", ".fac-datasets.json"])
@pytest.mark.parametrize(("holds", "revision"), [("main", "dev"), ("old", None)])
def test_a_key_on_another_branch_that_would_become_public_stops_it(
    hub: Hub, path: str, holds: str, revision: str | None
) -> None:
    hub.seed(REPOSITORY, {"a.txt": b"a"}, private=True)
    if revision is not None:
        hub.seed(REPOSITORY, {"a.txt": b"b"}, revision=revision)
    hub.seed(REPOSITORY, {path: f'{{"files": []}} # {KEY}'.encode()}, revision=holds)
    target = HubTarget("me/data", public=True, revision=revision)
    with pytest.raises(PublishError, match=rf"^line 1 of {path} of refs/heads/{holds} holds .* token of GitHub"):
        publish_files(target, "dataset", {"b.txt": b"b"}, CARD, title="Publish")
    assert hub.repositories[REPOSITORY].private
    publish_files(target, "dataset", {"b.txt": b"b"}, CARD, title="Publish", allow_secrets=[DIGEST])
    assert not hub.repositories[REPOSITORY].private


def test_a_key_in_git_attributes_that_would_become_public_stops_it(hub: Hub) -> None:
    hub.seed(REPOSITORY, {".gitattributes": f"# {KEY}\n".encode()}, private=True)
    with pytest.raises(PublishError, match=r"^line 1 of \.gitattributes holds what looks like a token of GitHub"):
        publish(public=True)
    assert untouched(hub)


def test_earlier_commits_of_others_that_become_public_are_told(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.seed(REPOSITORY, {"notes.txt": KEY.encode()}, private=True)
    hub.seed(REPOSITORY, {"notes.txt": b"none"})
    publish(public=True)
    (record,) = caplog.records
    assert record.message == (
        "me/data becomes public with its history, tags and pull requests, in which earlier commits of others are not "
        "looked through for keys (1)"
    )


@pytest.mark.parametrize("reference", ["tag", "pull request"])
def test_commits_of_others_that_only_a_tag_or_pull_request_has_are_told(
    hub: Hub, reference: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = hub.seed(REPOSITORY, {"notes.txt": b"none"}, private=True)
    repository = hub.repositories[REPOSITORY]
    if reference == "tag":
        repository.tags["v0"] = hub.seed(REPOSITORY, {"notes.txt": KEY.encode()}, revision="gone")
        del repository.branches["gone"]
    else:
        repository.propose(repository.find(head).files, "Mine", "", head, "other")
    publish(public=True)
    assert "earlier commits of others are not looked through for keys (1)" in caplog.text


def test_a_history_of_publications_becomes_public_without_a_word(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    publish()
    publish({"b.txt": b"b"})
    publish({"c.txt": b"c"}, public=True)
    assert not hub.repositories[REPOSITORY].private
    assert caplog.records == []


def test_what_was_named_is_published_and_listed_on_the_card_with_its_places(hub: Hub) -> None:
    hub.seed(REPOSITORY, {"README.md": THEIRS.encode(), "notes.txt": KEY.encode()}, private=True)
    files = {f"{number}.txt": f"one\n{KEY}\n".encode() for number in range(6)}
    made = publish(files, public=True, allow_secrets=[DIGEST])
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert made.card == card
    listed = next(line for line in card.splitlines() if DIGEST in line)
    assert listed.startswith("- line 2 of 0.txt; line 2 of 1.txt; ")
    assert listed.endswith(f" and 2 other places: a token of GitHub, digest `{DIGEST}`.")
    assert "My words." in card
    assert publish(files, public=True, allow_secrets=[DIGEST]).changed == ()


def test_a_card_is_not_told_of_what_it_holds_no_more(hub: Hub) -> None:
    publish({"a.txt": KEY.encode()}, allow_secrets=[DIGEST])
    publish()
    assert DIGEST not in hub.files(REPOSITORY)["README.md"].decode()


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_digest_that_nothing_has_is_said(hub: Hub, dry_run: bool, caplog: pytest.LogCaptureFixture) -> None:
    hub.seed(REPOSITORY, {"README.md": CARD.encode()}, private=True)
    publish({"a.txt": KEY.encode()}, allow_secrets=[DIGEST, "0" * 12], dry_run=dry_run)
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "for me/data has the digest 000000000000 of --allow-secret" in record.message


def test_rows_that_were_named_are_published(hub: Hub, case: Case) -> None:
    rows = synthetic_rows([NEW_TEXTS[0], f"A key looks like {KEY}."], str(case.report.feature_space))
    case.publish(augmented=augment(case.seed, rows), allow_secrets=[DIGEST])
    card = hub.files(REPOSITORY)["README.md"].decode()
    where = "row 1, column 'text' of config 'default', split 'synthetic'"
    assert f"- {where}: a token of GitHub, digest `{DIGEST}`" in card


def test_a_table_among_the_other_files_is_looked_through(hub: Hub, case: Case, tmp_path: Path) -> None:
    synthetic_rows([f"A key looks like {KEY}."], "x").to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(PublishError, match=r"^row 0, column 'text' of more/rows\.parquet holds"):
        case.publish(files={"more/rows.parquet": tmp_path / "rows.parquet"})


@pytest.mark.parametrize(("what", "repository"), [("sae", "me/data"), ("space", "spaces/me/data")])
def test_the_commands_let_through_what_was_named(
    hub: Hub, what: str, repository: str, tiny_sae: str, tmp_path: Path
) -> None:
    folder = tmp_path / "it"
    if what == "sae":
        shutil.copytree(tiny_sae, folder)
        (folder / "README.md").write_text(THEIRS)
    else:
        folder.mkdir()
        (folder / "README.md").write_text("---\ntitle: It\nsdk: gradio\nsdk_version: 6.31.0\n---\nIt.\n")
        (folder / "app.py").write_text(f"KEY = '{KEY}'\n")
        (folder / "requirements.txt").write_text("gradio\n")
    with pytest.raises(PublishError, match=rf"\({DIGEST}\)\. Nothing was published\. Take it out .* --allow-secret\)"):
        command("publish", what, folder, "me/data")
    command("publish", what, folder, "me/data", "--allow-secret", DIGEST)
    assert f"digest `{DIGEST}`" in hub.files(repository)["README.md"].decode()


def test_metrics_and_the_push_of_an_sae_let_through_what_was_named_too(hub: Hub, tiny_sae: str) -> None:
    hub.seed("spaces/me/distinct_n", {"notes.txt": KEY.encode()}, private=True)
    with pytest.raises(PublishError, match=r"notes\.txt holds .* --allow-secret\)"):
        command("publish", "metrics", "me", "--name", "distinct_n", "--public")
    command("publish", "metrics", "me", "--name", "distinct_n", "--public", "--allow-secret", DIGEST)
    assert not hub.repositories["spaces/me/distinct_n"].private

    hub.seed("me/sae", {"README.md": THEIRS.encode()}, private=True)
    sae = SparseAutoencoder.from_pretrained(tiny_sae)
    with pytest.raises(PublishError, match=rf"\({DIGEST}\).* \(allow_secrets="):
        sae.push_to_hub("me/sae")
    sae.push_to_hub("me/sae", allow_secrets=[DIGEST])
    assert f"digest `{DIGEST}`" in hub.files("me/sae")["README.md"].decode()
