"""One server for all tests of reviews, three annotators, and a feature table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import datasets
import httpx
import numpy as np
import pytest

from fac_datasets import CoverageReport
from fac_datasets.coverage.shares import Share
from fac_datasets.rows.dataset_identity import DatasetIdentity
from fac_datasets.synthesis.provenance import synthetic_features
from tests.servers.argilla.server import API_KEY, CHROMIUM, PASSWORD, ArgillaServer, why_unavailable

if TYPE_CHECKING:
    import argilla
    from playwright.sync_api import Browser, Page

SPACE = f"m@{1:016x}/layer1/raw/s@{2:016x}/sae/max/>0/cut512"


@dataclass(frozen=True)
class Annotator:
    """A person who answers through the server's API."""

    url: str
    name: str
    api_key: str
    responses: dict[str, str] = field(default_factory=dict)
    """Ids of own responses, by id of the record."""

    def answer(self, record: str, status: str = "submitted", /, **values: Any) -> None:
        """Respond to a record, or change the response."""
        content = {"values": {name: {"value": value} for name, value in values.items()} or None, "status": status}
        if record in self.responses:
            method, path = "PUT", f"/api/v1/responses/{self.responses[record]}"
        else:
            method, path = "POST", f"/api/v1/records/{record}/responses"
        headers = {"X-Argilla-Api-Key": self.api_key}
        answer = httpx.request(method, self.url + path, json=content, headers=headers, timeout=30)
        self.responses[record] = answer.raise_for_status().json()["id"]

    def queue(self, dataset: argilla.Dataset, status: str) -> list[str]:
        """Ends of the ids of the records that the web UI shows this person: to answer, or under 'Draft'."""
        conditions = [{"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": [status]}]
        if status == "pending":
            conditions.append(
                {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": [status]}
            )
        answer = httpx.post(
            f"{self.url}/api/v1/me/datasets/{dataset.id}/records/search",
            json={"filters": {"type": "and", "and": conditions}},
            headers={"X-Argilla-Api-Key": self.api_key},
            timeout=30,
        )
        items = answer.raise_for_status().json()["items"]
        return [item["record"]["external_id"].rpartition("-")[2] for item in items]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgillaServer]:
    """A running server."""
    reason = why_unavailable()
    if reason:
        pytest.skip(reason)
    with ArgillaServer(tmp_path_factory.mktemp("argilla")) as running:
        yield running


@pytest.fixture
def client(server: ArgillaServer) -> argilla.Argilla:
    """The owner's client."""
    import argilla

    return argilla.Argilla(api_url=server.url, api_key=API_KEY, retries=0)


@pytest.fixture(scope="session")
def annotators(server: ArgillaServer) -> tuple[Annotator, ...]:
    """Ada, Bob and Cyd."""
    return tuple(person(server, name) for name in ("ada", "bob", "cyd"))


def person(server: ArgillaServer, name: str, role: str = "annotator") -> Annotator:
    """A new member of the workspace."""
    import argilla

    owner = argilla.Argilla(api_url=server.url, api_key=API_KEY)
    user = argilla.User(username=name, password=PASSWORD, role=role, client=owner).create()
    user.add_to_workspace(owner.workspaces("argilla"))
    users = owner.http_client.get("/api/v1/users").raise_for_status().json()["items"]
    (key,) = [each["api_key"] for each in users if each["username"] == name]
    return Annotator(server.url, name, key)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install it, or run `make argilla` as root on Debian")
    with sync_playwright() as playwright:
        # As root Chromium starts only without its sandbox.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def signed_in(browser: Browser, who: Annotator) -> Iterator[Page]:
    """A page of a person who has signed in."""
    from tests.servers.argilla.screenshots import sign_in

    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    opened = context.new_page()
    # The UI asks for fonts from the internet.
    context.route(lambda url: not url.startswith(("http://127.0.0.1", "data:")), lambda route: route.abort())
    sign_in(opened, who.url, who.name, PASSWORD)
    yield opened
    context.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds, at most a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come about within a minute"
        time.sleep(0.02)


def span(text: str, peak: str, activation: float = 1.0) -> dict[str, Any]:
    start = text.rindex(peak)
    return {"text": text, "start": start, "end": start + len(peak), "activation": activation, "row": 0}


def feature(number: int, name: str | None = "drinks", **columns: Any) -> dict[str, Any]:
    """A row of a feature table."""
    return {
        "feature_id": number,
        "feature_space": SPACE,
        "firing_rate": 0.01 * (number + 1),
        "max_activation": 9.0,
        "spans": [span(f"a cup of coffee {number} or of tea", "tea", 9.0), span("hot milk", "milk", 8.0)],
        "silent_spans": [span("a heap of stones", "stones", 0.0)],
        "explanation": name,
        "explainer": "a model that names",
        "fits": "probably" if name else "cannot tell",
        "verifier": "a model that checks",
        "relevant": "maybe" if name else None,
        "guideline": "Toxicity",
        "judge": "a model that judges",
        "detection": 0.75 if name else None,
        **columns,
    }


def table_of(*rows: dict[str, Any]) -> datasets.Dataset:
    return datasets.Dataset.from_list(list(rows))


def records_of(client: argilla.Argilla, name: str) -> dict[str, dict[str, Any]]:
    """What the server holds, by the end of the record's own id: the feature, or the sample."""
    dataset = client.datasets(name)
    answer = client.http_client.get(
        f"/api/v1/datasets/{dataset.id}/records", params={"limit": 1000, "include": ["responses", "suggestions"]}
    )
    items = answer.raise_for_status().json()["items"]
    found = {record["external_id"].rpartition("-")[2]: record for record in items}
    assert len(found) == len(items), "a record is there twice"
    return found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A dataset of each test's own."""
    return str(request.node.name).replace("[", "-").rstrip("]")[:150]


@pytest.fixture
def coverage_report() -> CoverageReport:
    """A dataset that has feature 0 of those that its task needs, and lacks 1 and 3."""
    identity = DatasetIdentity("d", "", "", 2, None, "")
    return CoverageReport(
        fac=1 / 3,
        low=None,
        high=None,
        covered=np.array([0]),
        relevant=np.array([0, 1, 3]),
        missing=np.array([1, 3]),
        row_counts=np.array([2, 0, 0]),
        anchor_counts=np.array([2, 2, 2]),
        threshold="q90",
        feature_space=SPACE.replace(">0", ">q50"),
        dataset=identity,
        anchor=identity,
        of_anchor=Share(1, 3, 1 / 3, None, None),
    )


@pytest.fixture
def synthetic() -> datasets.Dataset:
    """Three synthetic rows as `synthesize` returns them."""
    rows = [
        {
            "text": f"text {number} of the sample",
            "synthetic_id": f"{number:016x}",
            "target_feature": number,
            "target_name": "samples",
            "target_part": "text",
            "target_activation": 2.0,
            "target_threshold": 1.0,
            "method": "few-shot",
            "attempt": 1,
            "generator": "a model that writes",
            "prompt_digest": "0",
            "steering_strength": 0.0,
            "seed": 0,
            "feature_space": SPACE,
        }
        for number in range(3)
    ]
    return datasets.Dataset.from_list(rows, features=synthetic_features())
