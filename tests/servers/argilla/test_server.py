"""The test server serves what Argilla's own engines would: search, filters, order, metrics and similar records."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.repository import REPOSITORY
from tests.servers.argilla.fixtures import Annotator, wait_for
from tests.servers.argilla.server import ArgillaServer, why_unavailable

if TYPE_CHECKING:
    import argilla

pytestmark = pytest.mark.slow

TEXTS = {"a": "a red apple", "b": "a green pear", "c": "a red pear"}


@pytest.fixture
def dataset(client: argilla.Argilla, name: str) -> argilla.Dataset:
    """Three records with metadata, vectors and suggestions."""
    import argilla

    settings = argilla.Settings(
        fields=[argilla.TextField("text", client=client)],
        questions=[argilla.LabelQuestion("label", ["fruit", "other"], client=client)],
        metadata=[
            argilla.FloatMetadataProperty("size", client=client),
            argilla.TermsMetadataProperty("kind", client=client),
        ],
        vectors=[argilla.VectorField("place", dimensions=2)],
    )
    made = argilla.Dataset(name, workspace="argilla", settings=settings, client=client).create()
    made.records.log(
        [
            argilla.Record(
                id=id,
                fields={"text": text},
                metadata={"size": size, "kind": text.split()[-1]},
                vectors={"place": [1.0, size - 2]},
                suggestions=[argilla.Suggestion("label", "fruit", score=size / 10, agent="m")],
            )
            for (id, text), size in zip(TEXTS.items(), (1.0, 2.0, 3.0), strict=True)
        ]
    )
    return made


def found(dataset: argilla.Dataset, **query: Any) -> list[str]:
    import argilla

    return [record.id for record in dataset.records(argilla.Query(**query))]


def test_records_are_found_by_words_and_by_filters(dataset: argilla.Dataset) -> None:
    import argilla

    assert sorted(found(dataset, query="red")) == ["a", "c"]
    assert found(dataset, query="red pear") == ["c"]
    assert found(dataset, filter=argilla.Filter(("metadata.kind", "==", "apple"))) == ["a"]
    assert sorted(found(dataset, filter=argilla.Filter(("metadata.size", ">=", 2.0)))) == ["b", "c"]
    assert sorted(found(dataset, filter=argilla.Filter(("label.suggestion", "==", "fruit")))) == ["a", "b", "c"]
    assert found(dataset, filter=argilla.Filter([("metadata.size", "<=", 2.0), ("metadata.kind", "==", "pear")])) == [
        "b"
    ]


def test_responses_are_filtered_by_state_and_by_value(
    dataset: argilla.Dataset, annotators: tuple[Annotator, ...], client: argilla.Argilla
) -> None:
    import argilla

    ids = {record.id: str(record._server_id) for record in dataset.records}
    annotators[0].answer(ids["a"], label="other")
    annotators[1].answer(ids["b"], "draft", label="fruit")
    assert found(dataset, filter=argilla.Filter(("response.status", "==", "pending"))) == ["c"]
    assert found(dataset, filter=argilla.Filter(("response.status", "==", "submitted"))) == ["a"]
    assert found(dataset, filter=argilla.Filter(("label.response", "==", "other"))) == ["a"]
    assert found(dataset, filter=argilla.Filter(("status", "==", "completed"))) == ["a"]
    assert dataset.progress()["completed"] == 1
    annotators[0].answer(ids["a"], label="fruit")
    assert found(dataset, filter=argilla.Filter(("label.response", "==", "other"))) == []


def test_records_are_sorted_and_similar_ones_come_first(dataset: argilla.Dataset) -> None:
    import argilla

    record = next(record for record in dataset.records if record.id == "a")
    similar = argilla.Query(similar=argilla.Similar("place", record))
    assert [each.id for each, _ in dataset.records(similar)] == ["b", "c"]
    response = dataset._client.http_client.post(
        f"/api/v1/datasets/{dataset.id}/records/search",
        json={
            "sort": [{"scope": {"entity": "metadata", "metadata_property": "size"}, "order": "desc"}],
        },
    )
    items = response.raise_for_status().json()["items"]
    assert [item["record"]["external_id"] for item in items] == ["c", "b", "a"]


def test_metadata_is_summed_up_for_the_filters_of_the_web_ui(dataset: argilla.Dataset) -> None:
    def metrics(of: str) -> dict[str, Any]:
        number = dataset.settings.metadata[of].id
        answer = dataset._client.http_client.get(f"/api/v1/metadata-properties/{number}/metrics")
        content: dict[str, Any] = answer.raise_for_status().json()
        return content

    assert (metrics("size")["min"], metrics("size")["max"]) == (1.0, 3.0)
    assert metrics("kind")["values"] == [{"term": "pear", "count": 2}, {"term": "apple", "count": 1}]


def test_a_restart_changes_nothing(dataset: argilla.Dataset, server: ArgillaServer) -> None:
    server.stop()
    server.start()
    assert sorted(found(dataset, query="red")) == ["a", "c"]


def test_records_and_datasets_are_removed(dataset: argilla.Dataset) -> None:
    dataset.records.delete([record for record in dataset.records if record.id == "a"])
    assert sorted(found(dataset, query="red")) == ["c"]
    dataset.delete()
    assert dataset._client.api.datasets.exists(dataset.id) is False


# --- starting and stopping -------------------------------------------------------------------------------------------

installed = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))


def running_in(folder: Path) -> list[str]:
    """Names of the processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process.name())
    return found


@installed
def test_a_port_that_another_server_has_is_refused(tmp_path: Path) -> None:
    class Another(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Another) as another:
        Thread(target=another.serve_forever, daemon=True).start()
        with (
            pytest.raises(RuntimeError, match=f"port {another.server_port} is in use: choose another"),
            ArgillaServer(tmp_path, another.server_port),
        ):
            pass
        another.shutdown()
    assert running_in(tmp_path) == []


@installed
@pytest.mark.parametrize("command", ["tests.servers.argilla.server", "fac_datasets review demo"])
def test_what_is_stopped_while_it_starts_leaves_nothing_behind(tmp_path: Path, command: str) -> None:
    module, *arguments = command.split()
    start = [sys.executable, "-m", module, *arguments, "--folder", str(tmp_path), "--port", "0"]
    # In a group of its own, whose members a terminal's Ctrl-C reaches all at once.
    with subprocess.Popen(start, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, process_group=0) as starting:
        wait_for(lambda: "redis-server" in running_in(tmp_path))
        for process in psutil.Process(starting.pid).children(recursive=True):
            # A helper that has ended meanwhile has no command line.
            with suppress(psutil.Error):
                if "tests.servers.argilla.server" in process.cmdline():
                    process.send_signal(signal.SIGINT)
        starting.send_signal(signal.SIGINT)
        assert starting.wait(timeout=60) == 0
        assert starting.stderr is not None and "Traceback" not in starting.stderr.read()
    assert running_in(tmp_path) == []
