"""The pages of the metrics are usable on a telephone, and an error leaves nothing of what was measured before."""

from __future__ import annotations

import json
import os
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("gradio")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="pages are looked at with Chromium, which is not installed"),
]

TELEPHONE = 375
"""Width of a page in pixels."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def opened(name: str, browser: Browser) -> Iterator[Page]:
    """The page of a metric, on a telephone."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    demo = runpy.run_path(str(resource_folder("metrics") / name / "app.py"))["demo"]
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    page = browser.new_page(viewport={"width": TELEPHONE, "height": 800})
    try:
        page.goto(url)
        yield page
    finally:
        page.close()
        demo.close()


def measure(page: Page) -> None:
    page.get_by_role("button", name="Measure").click()


IS_SEEN = """cell => {
    cell.scrollIntoView({block: "center"});
    const box = cell.getBoundingClientRect();
    const seen = x => cell.contains(document.elementFromPoint(x, box.top + box.height / 2));
    return seen(box.left + 2) && seen(box.right - 2);
}"""


@pytest.mark.parametrize("name", [name for name in metric_names() if name != "fac"])
def test_all_values_can_be_read_on_a_telephone(name: str, browser: Browser) -> None:
    with opened(name, browser) as page:
        measure(page)
        page.locator("td").first.wait_for()
        cells = page.locator("td").all()
        assert len(cells) > 4
        assert all(cell.evaluate(IS_SEEN) for cell in cells)
        assert page.evaluate("document.documentElement.scrollWidth") == TELEPHONE


@pytest.mark.embedded
def test_coverage_can_be_read_on_a_telephone(browser: Browser) -> None:
    with opened("fac", browser) as page:
        measure(page)
        page.get_by_text("features that the anchor activates.").wait_for(timeout=120_000)
        plot = page.locator("[data-testid=matplotlib] img, .matplotlib img").last
        plot.wait_for()
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * TELEPHONE
        assert page.evaluate("document.documentElement.scrollWidth") == TELEPHONE


def test_an_error_leaves_nothing_of_what_was_measured_before(browser: Browser) -> None:
    with opened("distinct_n", browser) as page:
        measure(page)
        page.locator("td").first.wait_for()
        page.get_by_role("textbox").fill("")
        measure(page)
        page.get_by_text("There are no texts").wait_for()
        assert page.locator("td").count() == 0
        assert page.locator(".matplotlib, [data-testid=matplotlib]").count() == 0


@pytest.mark.parametrize("row", [{"body": "A."}, {"text": "A.", "prompt": "B."}, {"chosen": "A.", "rejected": "B."}])
def test_a_file_without_one_column_of_texts_says_what_to_change_in_it(
    row: dict[str, str], tmp_path: Path, browser: Browser
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with opened("distinct_n", browser) as page:
        page.locator("input[type=file]").set_input_files(path)
        # The name is split in two once the file is there; what shows it whole, in passing, is the upload.
        page.get_by_label("rows.jsonl").wait_for()
        measure(page)
        message = page.get_by_text("The columns of the file are")
        message.wait_for()
        assert ", ".join(row) in message.inner_text()
        assert "--" not in message.inner_text()
        assert "column=" not in message.inner_text()


def test_the_k_of_the_clusters_is_among_the_values(browser: Browser) -> None:
    with opened("semantic_entropy", browser) as page:
        measure(page)
        page.locator("td").first.wait_for()
        assert "semantic_entropy_k\n4" in page.locator("table").inner_text().replace("\t", "\n")
