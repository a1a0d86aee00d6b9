"""One server for all tests of reviews, three annotators, and a feature table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import datasets
import httpx
import numpy as np
import pytest

from fac_datasets import CoverageReport
from fac_datasets.identity import DatasetIdentity
from fac_datasets.synthesis.synthesize import synthetic_features
from tests.argilla.server import API_KEY, PASSWORD, ArgillaServer, why_unavailable

if TYPE_CHECKING:
    import argilla

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
    import argilla

    owner = argilla.Argilla(api_url=server.url, api_key=API_KEY)
    (workspace,) = owner.workspaces.list()
    for name in ("ada", "bob", "cyd"):
        user = argilla.User(username=name, password=PASSWORD, role="annotator", client=owner).create()
        user.add_to_workspace(workspace)
    users = owner.http_client.get("/api/v1/users").raise_for_status().json()["items"]
    keys = {user["username"]: user["api_key"] for user in users}
    return tuple(Annotator(server.url, name, keys[name]) for name in ("ada", "bob", "cyd"))


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
        "detection": 0.75,
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
