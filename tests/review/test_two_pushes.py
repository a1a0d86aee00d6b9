"""Two pushes make one dataset at the same time: both end well, or one is told why not, and nothing is there twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from fac_datasets import review
from fac_datasets.errors import ReviewError
from tests.review.meanwhile import READ, WRITE, meanwhile
from tests.servers.argilla.fixtures import Annotator, feature, records_of, table_of
from tests.servers.argilla.server import API_KEY, ArgillaServer

if TYPE_CHECKING:
    import argilla

pytestmark = pytest.mark.slow

TABLE = table_of(*(feature(number) for number in range(40)))
QUESTIONS = ["fits", "corrected", "relevant", "misfits", "comment"]


@pytest.fixture
def another(server: ArgillaServer) -> argilla.Argilla:
    """A second client."""
    import argilla

    return argilla.Argilla(api_url=server.url, api_key=API_KEY, retries=0)


def push(client: argilla.Argilla, name: str, **options: Any) -> review.PushReport:
    return review.push_explanations(TABLE, name, client=client, **{"guideline": "toxicity", **options})


def require_whole(client: argilla.Argilla, name: str) -> None:
    """Raise where anything is missing or there twice."""
    assert [each.name for each in client.api.datasets.list()].count(name) == 1
    settings = client.datasets(name).settings
    assert [each.name for each in settings.fields] == ["explanation", "numbers", "spans", "silent_spans"]
    assert [each.name for each in settings.questions] == QUESTIONS
    assert len(settings.metadata) == 5
    assert records_of(client, name).keys() == {str(number) for number in range(40)}


@pytest.mark.parametrize(
    ("request_", "number", "after"),
    [
        ("POST .*/datasets", 1, False),
        ("POST .*/datasets", 1, True),
        ("POST .*/fields", 2, False),
        ("POST .*/questions", 3, True),
        ("PUT .*/publish", 1, False),
        (READ, 1, True),
        (WRITE, 1, True),
    ],
)
def test_another_push_from_beginning_to_end_between_two_requests_of_one(
    client: argilla.Argilla, another: argilla.Argilla, name: str, request_: str, number: int, after: bool
) -> None:
    with meanwhile(client, request_, lambda: push(another, name), number=number, after=after):
        push(client, name)
    require_whole(client, name)
    assert push(client, name).unchanged == 40


def test_two_pushes_that_start_together(client: argilla.Argilla, another: argilla.Argilla, name: str) -> None:
    together, reports = threading.Barrier(2), list[review.PushReport]()

    def start(with_client: argilla.Argilla) -> None:
        together.wait()
        reports.append(push(with_client, name))

    pushing = [threading.Thread(target=start, args=(each,)) for each in (client, another)]
    for each in pushing:
        each.start()
    for each in pushing:
        each.join()
    assert len(reports) == 2
    require_whole(client, name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"guideline": None}, "not published yet"),
        ({"min_submitted": 2}, "its min_submitted are 1, and this push needs 2"),
    ],
)
def test_a_push_with_other_options_is_refused_and_the_first_goes_on(
    client: argilla.Argilla, another: argilla.Argilla, name: str, options: dict[str, Any], told: str
) -> None:
    def refused() -> None:
        with pytest.raises(ReviewError, match=f"is there already with other settings.*{told}"):
            push(another, name, **options)

    with meanwhile(client, "POST .*/questions", refused, number=2):
        push(client, name)
    require_whole(client, name)


def test_answers_to_the_records_of_another_push_count(
    client: argilla.Argilla, another: argilla.Argilla, annotators: tuple[Annotator, ...], name: str
) -> None:
    def pushed_and_answered() -> None:
        push(another, name)
        annotators[0].answer(records_of(another, name)["7"]["id"], fits="yes", relevant="yes")

    with meanwhile(client, READ, pushed_and_answered, after=True):
        push(client, name)
    (answer,) = review.pull_explanations(TABLE, name, client=client)[7]["reviews"]
    assert (answer["status"], answer["outdated"]) == ("submitted", False)
