"""What a person sees and does in the web UI, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import datasets
import pytest

from fac_datasets import review
from tests.argilla.conftest import Annotator, feature, records_of, span, table_of
from tests.argilla.screenshots import open_dataset, sign_in
from tests.argilla.server import CHROMIUM, PASSWORD, ArgillaServer

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


@pytest.fixture(scope="module")
def browser(server: ArgillaServer) -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install it, or run `make argilla` as root on Debian")
    with sync_playwright() as playwright:
        # As root Chromium starts only without its sandbox.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, server: ArgillaServer, annotators: tuple[Annotator, ...]) -> Iterator[Page]:
    """A page of Ada's, who has signed in."""
    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    opened = context.new_page()
    # The UI asks for fonts from the internet.
    context.route(lambda url: not url.startswith(("http://127.0.0.1", "data:")), lambda route: route.abort())
    sign_in(opened, server.url, annotators[0].name, PASSWORD)
    yield opened
    context.close()


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
        row = feature(1, f"drinks {MARKUP[0]}{MARKUP[2]}", spans=spans, silent_spans=spans, explainer=MARKUP[1])
        review.push_explanations(table_of(row), name, client=client, guideline="toxicity")
    else:
        row = synthetic[0] | {"text": "\n".join(MARKUP), "target_name": MARKUP[0] + MARKUP[2], "generator": MARKUP[1]}
        odd = datasets.Dataset.from_list([row], features=synthetic.features).add_column("label", [MARKUP[2]])
        review.push_samples(odd, name, client=client, label_column="label")
    open_dataset(page, client, name)
    # Also while it is edited, and in the list of several records.
    page.locator("[contenteditable=true]").first.click()
    page.keyboard.type("x")
    shown = page.locator("body").inner_text()
    for text in MARKUP:
        assert "".join(text.split()) in "".join(shown.split())
    page.wait_for_timeout(500)
    assert asked == []
    assert page.locator("iframe, svg[onload], h1:has-text('a heading')").count() == 0
