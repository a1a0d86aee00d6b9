"""A review from beginning to end: four people, one of them in the web UI, and a server that is restarted and killed."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fac_datasets import relevant_features, review
from tests.servers.argilla.fixtures import Annotator, feature, person, records_of, signed_in, table_of, wait_for
from tests.servers.argilla.screenshots import open_dataset
from tests.servers.argilla.server import API_KEY, ArgillaServer

if TYPE_CHECKING:
    import argilla
    import datasets
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

FEATURES = 300
PEOPLE = 4


def table(name: str) -> datasets.Dataset:
    return table_of(*(feature(number, name, fits=None, relevant=None) for number in range(FEATURES)))


def answer_in_web_ui(page: Page, answer: str | None) -> str:
    """Answer both questions alike, or discard the record; the feature that was shown."""
    page.get_by_text(re.compile(r"a cup of coffee \d+")).first.wait_for()
    found = re.search(r"a cup of coffee (\d+)", page.locator("body").inner_text())
    assert found
    if answer is not None:
        page.get_by_text(answer, exact=True).nth(0).click()
        page.get_by_text(answer, exact=True).nth(1).click()
    with page.expect_response(lambda response: "/responses" in response.url and response.ok):
        page.get_by_text("Submit" if answer is not None else "Discard", exact=True).click()
    page.get_by_text(f"a cup of coffee {found[1]} or", exact=False).wait_for(state="hidden")
    return found[1]


def given_answers(client: argilla.Argilla, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Values of every response, by feature and id of the user."""
    return {
        (number, response["user_id"]): response["values"]
        for number, record in records_of(client, name).items()
        for response in record["responses"]
    }


def test_no_answer_is_lost_or_doubled_from_push_to_push(
    client: argilla.Argilla, server: ArgillaServer, annotators: tuple[Annotator, ...], browser: Browser, name: str
) -> None:
    import argilla

    options: dict[str, Any] = {"guideline": "toxicity", "min_submitted": PEOPLE}
    named = table("drinks")
    assert review.push_explanations(named, name, client=client, **options).added == FEATURES
    server.stop()
    server.start()

    # Dan in the web UI, the others through the API.
    with signed_in(browser, person(server, "dan")) as page:
        open_dataset(page, client, name)
        first, second, third = [answer_in_web_ui(page, answer) for answer in ("yes", "no", None)]
    records = records_of(client, name)
    ada, bob, cyd = annotators
    for who, fits in ((ada, "no"), (bob, "no"), (cyd, "yes")):
        who.answer(records[first]["id"], fits="yes", relevant="yes")
        who.answer(records[second]["id"], fits=fits, relevant="no", corrected="hot drinks")
        who.answer(records[third]["id"], fits="yes", relevant="yes")
    late = str(FEATURES - 1)
    ada.answer(records[late]["id"], fits="maybe", relevant="maybe", comment="at the end of the table")

    reviewed = review.pull_explanations(named, name, client=client)
    rows = {str(row["feature_id"]): row for row in reviewed}
    verdicts = [(rows[number]["review_fits"], rows[number]["review_relevant"]) for number in (first, second, third)]
    assert verdicts == [("yes", "yes"), ("no", "no"), (None, None)]
    assert rows[second]["review_explanation"] == "hot drinks"
    assert relevant_features(reviewed).tolist() == [int(first)]
    found = review.summary(reviewed)
    assert (found.reviewed, found.submitted, found.discarded, found.outdated) == (4, 12, 1, 0)
    # Of eleven answers to the three features three are no and eight yes; one feature has both, three no and one yes:
    # observed (2 * 3 * 1 / 3) / 11 = 2 / 11, expected 2 * 3 * 8 / (11 * 10). Two values are as far apart on any scale.
    assert found.agreement["fits"].overlaps == 3 and found.agreement["fits"].answers == 12
    assert found.agreement["fits"].alpha == pytest.approx(1 - (2 / 11) / (48 / 110))
    assert found.agreement["relevant"].alpha == 1

    # Other names for all, and a server that dies while they are sent.
    before = given_answers(client, name)
    renamed, reports = table("beverages"), list[review.PushReport]()
    pusher = argilla.Argilla(api_url=server.url, api_key=API_KEY, retries=0)
    push = threading.Thread(
        target=lambda: reports.append(review.push_explanations(renamed, name, client=pusher, **options))
    )
    push.start()
    path = f"/api/v1/datasets/{client.datasets(name).id}/records"
    wait_for(lambda: "beverages" in client.http_client.get(path, params={"limit": 1}).text)
    server.kill()
    assert not reports
    server.start()
    push.join(timeout=120)
    assert reports and (reports[0].updated, reports[0].outdated) == (FEATURES, 13)

    assert given_answers(client, name) == before
    assert len(records_of(client, name)) == FEATURES
    found = review.summary(review.pull_explanations(renamed, name, client=client))
    assert (found.reviewed, found.submitted, found.drafts, found.discarded, found.outdated) == (0, 0, 12, 1, 13)
    assert set(ada.queue(client.datasets(name), "draft")) == {first, second, third, late}

    ada.answer(records[late]["id"], fits="yes", relevant="yes")
    review.push_explanations(renamed, name, client=client, **options)
    found = review.summary(review.pull_explanations(renamed, name, client=client))
    assert (found.reviewed, found.submitted, found.outdated) == (1, 1, 12)
