"""Takes the README's pictures of a record of each review, of what `fac-datasets review demo` shows.

The verdict on each name is made up, so that the picture has a suggestion: the demo has no model that could judge.

python -m tests.servers.argilla.screenshots --out tests/benchmarks/results
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import argilla
import datasets
from playwright.sync_api import Page, ViewportSize, sync_playwright

from fac_datasets import FeatureExtractor, review
from fac_datasets.review.local_server import example
from fac_datasets.rows.tables import add_columns
from tests.servers.argilla.server import API_KEY, CHROMIUM, OWNER, PASSWORD, ArgillaServer

SIZE = ViewportSize(width=1500, height=1150)


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """Open the web UI as a user."""
    page.goto(f"{url}/sign-in")
    page.locator("input").nth(0).fill(name)
    page.locator("input").nth(1).fill(password)
    page.locator("input").nth(1).press("Enter")
    page.wait_for_url(f"{url}/")


def open_dataset(page: Page, client: argilla.Argilla, name: str) -> None:
    """Open the first record of a dataset that the user has not answered."""
    page.goto(f"{client.api_url}/dataset/{client.datasets(name).id}/annotation-mode")
    page.get_by_text("Submit", exact=True).wait_for()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    out: Path = parser.parse_args().out
    with (
        tempfile.TemporaryDirectory() as folder,
        ArgillaServer(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        client = argilla.Argilla(api_url=server.url, api_key=API_KEY)
        extractor = FeatureExtractor(threshold=0)
        table, report, synthetic = example(extractor)
        named = table.filter(lambda row: row["explanation"] is not None)
        made_up = {"fits": "probably", "verifier": "a-model-that-judges"}
        text = datasets.Value("string")
        judged = add_columns(named, {column: ([value] * len(named), text) for column, value in made_up.items()})
        review.push_explanations(judged, "demo-features", client=client, guideline="helpfulness", report=report)
        review.push_samples(synthetic, "demo-samples", client=client, extractor=extractor)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        sign_in(page, server.url, OWNER, PASSWORD)
        for name, picture in (("demo-features", "review_explanations.png"), ("demo-samples", "review_samples.png")):
            open_dataset(page, client, name)
            page.wait_for_timeout(1000)
            page.screenshot(path=out / picture)
        browser.close()


if __name__ == "__main__":
    main()
