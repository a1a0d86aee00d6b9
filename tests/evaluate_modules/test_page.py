"""Each metric's page runs: texts in, values and a plot out."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow

TEXTS = "How do I cook rice?\nHow do I cook pasta?\nIt rains in Madrid.\nSort the list."


@contextmanager
def page(name: str) -> Iterator[Any]:
    """A client of the page of a metric, which runs on loopback."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from gradio_client import Client

    demo = runpy.run_path(str(resource_folder("metrics") / name / "app.py"))["demo"]
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        yield Client(url, verbose=False)
    finally:
        demo.close()


@pytest.mark.parametrize("name", [name for name in metric_names() if name != "fac"])
def test_pasted_texts_give_values_and_a_plot(name: str) -> None:
    with page(name) as client:
        values, plot = client.predict(TEXTS, None, api_name="/show")
    assert f"| `{name.removesuffix('_n')}" in values
    assert "| `n_rows` | 4 |" in values
    assert plot["plot"].startswith("data:image/")


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_a_file_gives_the_same_values(suffix: str, tmp_path: Path) -> None:
    from gradio_client import handle_file

    path = tmp_path / f"texts{suffix}"
    rows = TEXTS.splitlines() if suffix == ".txt" else [json.dumps({"text": text}) for text in TEXTS.splitlines()]
    path.write_text("\n".join(rows))
    with page("distinct_n") as client:
        pasted, _ = client.predict(TEXTS, None, api_name="/show")
        of_file, _ = client.predict("", handle_file(path), api_name="/show")
    assert pasted == of_file


@pytest.mark.parametrize("texts", ["", " \n"])
def test_no_texts_are_a_message(texts: str) -> None:
    from gradio_client.exceptions import AppError

    with page("distinct_n") as client, pytest.raises(AppError, match="There are no texts"):
        client.predict(texts, None, api_name="/show")


@pytest.mark.embedded
def test_the_page_of_fac_measures_texts_against_an_anchor() -> None:
    with page("fac") as client:
        words, missing, plot = client.predict(
            TEXTS, None, "How do I cook rice?\nSort the list in Python.", None, "q90", api_name="/measure"
        )
    assert words.startswith("**FAC 0.")
    assert missing
    assert plot["plot"].startswith("data:image/")
