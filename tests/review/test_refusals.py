"""What a pull or a connection cannot use is refused in one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pytest

from fac_datasets import review
from fac_datasets.errors import OptionError, ReviewError
from fac_datasets.review import server as connections
from fac_datasets.review.server import connect, repeated
from tests.command_line import command
from tests.servers.argilla.fixtures import SPACE, feature, table_of
from tests.servers.argilla.server import API_KEY, ArgillaServer

if TYPE_CHECKING:
    import argilla


def one_sentence(refused: pytest.ExceptionInfo[ReviewError]) -> bool:
    return "\n" not in str(refused.value)


# --- what is pulled --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_samples_are_not_pulled_as_explanations(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_samples(synthetic, name, client=client)
    with pytest.raises(
        ReviewError, match=r"is of something else than these rows: it shows \['feature', 'sample'\].*; name the one"
    ) as refused:
        review.pull_explanations(table_of(feature(1)), name, client=client)
    assert one_sentence(refused)


@pytest.mark.slow
def test_explanations_are_not_pulled_as_samples(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client, guideline="toxicity")
    with pytest.raises(ReviewError, match=r"something else than these rows: it shows .*lacks \['feature', 'sample', "):
        review.pull_samples(synthetic, name, client=client)


@pytest.mark.slow
def test_a_dataset_that_somebody_else_made_is_not_pulled(client: argilla.Argilla, name: str) -> None:
    import argilla

    shown = ("explanation", "numbers", "spans", "silent_spans")
    settings = argilla.Settings(
        fields=[argilla.TextField(field, client=client) for field in shown],
        questions=[argilla.LabelQuestion("fits", ["good", "bad"], client=client)],
    )
    argilla.Dataset(name, workspace="argilla", settings=settings, client=client).create()
    with pytest.raises(ReviewError, match=r"asks \['fits'\], and lacks \['fits', 'corrected', 'misfits', 'comment'\]"):
        review.pull_explanations(table_of(feature(1)), name, client=client)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"guideline": "toxicity"}, {"min_submitted": 3}], ids=str)
def test_whatever_a_push_asked_for_is_pulled(client: argilla.Argilla, name: str, options: dict[str, Any]) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client, **options)
    assert review.pull_explanations(table_of(feature(1)), name, client=client)["reviews"] == [[]]


@pytest.mark.slow
def test_a_dataset_without_any_of_the_rows_is_not_pulled(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    told = "has no record of any of these rows; name the one that they were pushed to, or push them first"
    for table in (table_of(feature(2)), table_of(feature(1, feature_space=SPACE.replace("layer1", "layer2")))):
        with pytest.raises(ReviewError, match=told):
            review.pull_explanations(table, name, client=client)
    review.push_samples(synthetic.select([0]), f"{name}-samples", client=client)
    with pytest.raises(ReviewError, match=told):
        review.pull_samples(synthetic.select([1]), f"{name}-samples", client=client)


@pytest.mark.slow
def test_a_mistyped_name_is_told_with_those_that_there_are(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    workspace = str(client.workspaces("argilla").id)
    begun = client.http_client.post("/api/v1/datasets", json={"name": f"{name}-begun", "workspace_id": workspace})
    for mistyped in (f"{name}s", f"{name}-begun"):
        with pytest.raises(ReviewError, match=f"has no dataset '{mistyped}'; push it first.*'{name}'") as refused:
            review.pull_explanations(table_of(feature(1)), mistyped, client=client)
        assert one_sentence(refused)
    client.http_client.delete(f"/api/v1/datasets/{begun.json()['id']}").raise_for_status()


@pytest.mark.slow
def test_a_mistyped_name_leaves_what_was_pulled_before(
    server: ArgillaServer, client: argilla.Argilla, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", API_KEY)
    table_of(feature(1)).to_parquet(tmp_path / "table.parquet")
    pull = ["review", "pull", "explanations", tmp_path / "table.parquet", "--out", tmp_path / "out", "--name"]
    review.push_explanations(table_of(feature(1)), name, client=client)
    with pytest.raises(ReviewError, match="has no dataset"):
        command(*pull, f"{name}s")
    command(*pull, name)
    with pytest.raises(ReviewError, match="has no dataset"):
        command(*pull, f"{name}s", "--overwrite")
    assert list((tmp_path / "out" / "data").glob("*.parquet"))


@pytest.mark.slow
def test_a_user_without_a_workspace_is_told_so(server: ArgillaServer, client: argilla.Argilla, name: str) -> None:
    import argilla

    argilla.User(username="eve", password="a password of 12", role="admin", client=client).create()
    users = client.http_client.get("/api/v1/users").raise_for_status().json()["items"]
    (key,) = [each["api_key"] for each in users if each["username"] == "eve"]
    eve = argilla.Argilla(api_url=server.url, api_key=key, retries=0)
    for workspace in (None, "argilla"):
        with pytest.raises(ReviewError, match="has no workspace for the user of this key; create one in the web UI"):
            review.push_explanations(table_of(feature(1)), name, client=eve, workspace=workspace)
    assert name not in [each.name for each in client.api.datasets.list()]


# --- where it is pulled from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["localhost:6900", "argilla.example", "//argilla.example", "ftp://argilla.example", "http://", "http://[::1"]
)
def test_an_address_needs_a_scheme_and_a_host(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", url)
    monkeypatch.setenv("ARGILLA_API_KEY", "a-secret-key")
    with pytest.raises(OptionError, match=r"^ARGILLA_API_URL is no address such as http://localhost:6900$"):
        connect()


@pytest.mark.slow
def test_spaces_and_lines_around_address_and_key_make_no_difference(
    server: ArgillaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", f" {server.url}\n")
    monkeypatch.setenv("ARGILLA_API_KEY", f"{API_KEY}\r\n")
    assert connect().api_url == server.url


def test_a_page_of_a_proxy_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setattr(connections, "_WAITS", (0.0,))
    answers = [httpx.Response(200, text="<html>starting"), httpx.Response(200, json={"total": 1})]
    assert repeated(lambda: answers.pop(0).json()) == {"total": 1}
    with pytest.raises(ReviewError, match="what answers is not Argilla's JSON"):
        repeated(lambda: httpx.Response(200, text="<html>starting").json())
