"""What a person sees and does in the web UI, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import datasets
import pytest

from fac_datasets import review
from tests.servers.argilla.fixtures import Annotator, feature, records_of, signed_in, span, table_of
from tests.servers.argilla.screenshots import open_dataset

if TYPE_CHECKING:
    import argilla
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there: a request to it means that text from data was taken for markup."""

MARKUP = [
    f"<script>fetch('{NOWHERE}/script')</script>",
    f"<img src='{NOWHERE}/image'>",
    f"<img src=x onerror=\"fetch('{NOWHERE}/event')\">",
    f"![an image]({NOWHERE}/markdown)",
    f"<iframe src='{NOWHERE}/frame'></iframe>",
    f"</b></mark></li></ol><svg onload=\"fetch('{NOWHERE}/svg')\">",
    f"`</script><style>@import url({NOWHERE}/style)</style>`",
    "# a heading\n\n- **a list** of {{record.fields}} $x^2$ &lt;b&gt;",
]


@pytest.fixture
def page(annotators: tuple[Annotator, ...], browser: Browser) -> Iterator[Page]:
    """A page of Ada's, who has signed in."""
    with signed_in(browser, annotators[0]) as opened:
        yield opened


def test_a_reviewer_reads_a_feature_and_answers(client: argilla.Argilla, page: Page, name: str) -> None:
    table = table_of(feature(1, fits=None, relevant=None))
    review.push_explanations(table, name, client=client, guideline="toxicity")
    open_dataset(page, client, name)
    assert page.locator("mark").all_inner_texts() == ["tea", "milk"]
    assert page.get_by_text("a heap of stones").is_visible()
    page.get_by_text("no", exact=True).first.click()
    page.locator("[contenteditable=true]").first.click()
    page.keyboard.type("hot drinks")
    page.get_by_text("probably", exact=True).nth(1).click()
    page.get_by_text("2", exact=True).last.click()
    with page.expect_response(lambda response: "/responses" in response.url and response.ok):
        page.get_by_text("Submit", exact=True).click()
    (answer,) = review.pull_explanations(table, name, client=client)[0]["reviews"]
    assert answer == {
        "reviewer": "ada",
        "status": "submitted",
        "outdated": False,
        "fits": "no",
        "corrected": "hot drinks",
        "relevant": "probably",
        "misfits": [2],
        "comment": None,
    }


def test_a_reviewer_edits_and_keeps_a_sample(
    client: argilla.Argilla, page: Page, name: str, synthetic: datasets.Dataset
) -> None:
    text = "A list:\n\n    <b>one</b>\n\ttwo  times"
    sample = datasets.Dataset.from_list([synthetic[0] | {"text": text}], features=synthetic.features)
    review.push_samples(sample, name, client=client)
    open_dataset(page, client, name)
    page.get_by_text("yes", exact=True).nth(0).click()
    page.get_by_text("maybe", exact=True).nth(1).click()
    page.locator("[contenteditable=true]").first.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(", improved")
    page.get_by_text("keep", exact=True).click()
    with page.expect_response(lambda response: "/responses" in response.url and response.ok):
        page.get_by_text("Submit", exact=True).click()
    (record,) = records_of(client, name).values()
    (response,) = record["responses"]
    values = {question: answer["value"] for question, answer in response["values"].items()}
    assert values == {
        "shows_concept": "yes",
        "natural": "maybe",
        "edited": f"{text}, improved",
        "keep": "keep",
    }


@pytest.mark.parametrize(
    "text",
    [
        "two  spaces, a\ttab\n\n    and lines:\n\n\n```\nx = {\n\t1: 'a',\n}\n```",
        "**bold** <b>&amp; &lt;</b>\u00a0\u202fend \n",
    ],
)
def test_a_text_that_a_reviewer_leaves_alone_stays_as_it_is(
    client: argilla.Argilla, page: Page, name: str, synthetic: datasets.Dataset, text: str
) -> None:
    rows = datasets.Dataset.from_list([synthetic[0] | {"text": text}], features=synthetic.features)
    review.push_samples(rows, name, client=client)
    open_dataset(page, client, name)
    page.get_by_text("yes", exact=True).nth(0).click()
    page.get_by_text("yes", exact=True).nth(1).click()
    page.get_by_text("keep", exact=True).click()
    with page.expect_response(lambda response: "/responses" in response.url and response.ok):
        page.get_by_text("Submit", exact=True).click()
    (row,) = review.pull_samples(rows, name, client=client)
    assert (row["text"], row["original_text"], row["accepted"]) == (text, None, True)


@pytest.mark.parametrize("workflow", ["explanations", "samples"])
def test_markup_in_data_is_shown_as_text_and_does_nothing(
    client: argilla.Argilla, page: Page, name: str, synthetic: datasets.Dataset, workflow: str
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith(NOWHERE) else None)
    if workflow == "explanations":
        spans = [span(f"{text} tea", "tea") for text in MARKUP]
        rows = [
            feature(number, f"drinks {MARKUP[0]}{MARKUP[2]}", spans=spans, silent_spans=spans, explainer=MARKUP[1])
            for number in range(2)
        ]
        review.push_explanations(table_of(*rows), name, client=client, guideline="toxicity")
    else:
        odd_parts = {"text": "\n".join(MARKUP), "target_name": MARKUP[0] + MARKUP[2], "generator": MARKUP[1]}
        rows = [synthetic[number] | odd_parts for number in range(2)]
        odd = datasets.Dataset.from_list(rows, features=synthetic.features).add_column("label", [MARKUP[2]] * 2)
        review.push_samples(odd, name, client=client, label_column="label")
    open_dataset(page, client, name)
    page.locator("[contenteditable=true]").first.click()
    page.keyboard.type("x")
    for view in ("while it is edited", "in the list of several records"):
        if view == "in the list of several records":
            page.get_by_label("Switch to Bulk Mode").click()
            page.get_by_text("- 2", exact=True).wait_for()
        page.wait_for_timeout(1000)
        seen = "".join(page.locator("body").inner_text().split())
        for text in MARKUP:
            assert "".join(text.split()) in seen, view
        assert asked == [], view
        assert page.locator("iframe, svg[onload], h1:has-text('a heading')").count() == 0, view


def test_markup_that_is_not_escaped_would_be_noticed(client: argilla.Argilla, page: Page, name: str) -> None:
    import argilla

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith(NOWHERE) else None)
    settings = argilla.Settings(
        fields=[argilla.TextField("text", use_markdown=True, client=client)],
        questions=[argilla.LabelQuestion("label", ["a", "b"], client=client)],
    )
    raw = argilla.Dataset(name, workspace="argilla", settings=settings, client=client).create()
    raw.records.log([argilla.Record(fields={"text": "\n\n".join(MARKUP)})])
    open_dataset(page, client, name)
    page.wait_for_timeout(1000)
    assert {f"{NOWHERE}/image", f"{NOWHERE}/markdown"} <= {*asked}


def test_answers_to_an_earlier_name_are_found_under_draft(
    client: argilla.Argilla, annotators: tuple[Annotator, ...], page: Page, name: str
) -> None:
    review.push_explanations(table_of(feature(1, "drinks", fits=None)), name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="no", corrected="hot drinks")
    renamed = table_of(feature(1, "beverages", fits=None))
    review.push_explanations(renamed, name, client=client)
    page.goto(f"{client.api_url}/dataset/{client.datasets(name).id}/annotation-mode")
    page.locator("[data-title=Status]").click()
    page.get_by_text("draft", exact=True).click()
    page.get_by_text("beverages").wait_for()
    assert page.get_by_text("hot drinks").is_visible()
    with page.expect_response(lambda response: "/responses" in response.url and response.ok):
        page.get_by_text("Submit", exact=True).click()
    (answer,) = review.pull_explanations(renamed, name, client=client)[0]["reviews"]
    assert (answer["status"], answer["outdated"]) == ("submitted", False)
    assert (answer["fits"], answer["corrected"]) == ("no", "hot drinks")
