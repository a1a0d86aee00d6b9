"""The Gradio page of a metric: texts in, its values, what they mean, and how they grow with the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from fac_datasets.diversity.all_measures import measures_table
from fac_datasets.errors import ColumnError, FacDatasetsError, RowError
from fac_datasets.plots import growth_figure
from fac_datasets.rows.loading import load_rows
from fac_datasets.rows.reader import row_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 6
"""Numbers of texts in the plot."""

_EXAMPLE = """How do I cook rice?
How do I cook pasta?
What is a good soup for winter?
How do I sort a list in Python?"""

FILES = (".txt", ".jsonl", ".csv", ".parquet")
"""Files that can be chosen: a text a line, or a dataset with one of the usual columns."""


def metric_page(
    title: str,
    explanation: str,
    measure: Callable[[list[str]], Mapping[str, Any]],
    key: str,
) -> gr.Blocks:
    """A page for a metric of texts.

    Args:
        title: of the page.
        explanation: what the values mean, in Markdown.
        measure: takes texts and gives the metric's values.
        key: of the value that is plotted against the number of texts, the first ones of all.
    """

    def show(pasted: str, file: str | None) -> tuple[str, Figure]:
        try:
            texts = texts_of(pasted, file)
            values = measure(texts)
        except FacDatasetsError as error:
            raise gr.Error(str(error)) from error
        sizes = np.unique(np.linspace(1, len(texts), min(_POINTS, len(texts))).round().astype(int)).tolist()
        curve = [*((size, _value(measure, texts[:size], key)) for size in sizes[:-1]), (len(texts), values[key])]
        points = [(size, value) for size, value in curve if value is not None]
        return measures_table({"value": values}), growth_figure(points, "texts", key)

    page: gr.Blocks
    with gr.Blocks(title=title) as page:
        gr.Markdown(f"# {title}\n{explanation}")
        with gr.Row():
            pasted = gr.Textbox(label="Texts, one a line", lines=8, value=_EXAMPLE)
            file = gr.File(label="or a file with texts", file_types=list(FILES), type="filepath")
        button = gr.Button("Measure", variant="primary")
        # Below each other: side by side a telephone shows neither.
        values = gr.Markdown()
        plot = gr.Plot(show_label=False)
        on_click(button, show, [pasted, file], [values, plot])
    return page


def on_click(
    button: gr.Button, show: Callable[..., Any], inputs: Sequence[gr.Component], outputs: Sequence[gr.Component]
) -> None:
    """Empty the outputs, then fill them, so that an error does not leave what was measured before."""
    cleared = button.click(lambda: (None,) * len(outputs), None, [*outputs], api_visibility="private")
    cleared.then(show, [*inputs], [*outputs])


def texts_of(pasted: str, file: str | None) -> list[str]:
    """The texts of a file or, without one, of a text box, one a line.

    Raises:
        gradio.Error: there are none, or it is not plain which column holds them.
    """
    if file and Path(file).suffix != ".txt":
        rows = load_rows(file)
        try:
            texts = row_texts(rows)
        except RowError:
            raise
        except ColumnError as error:
            raise gr.Error(
                f"The columns of the file are {', '.join(rows.column_names)}, and it is not plain which to measure. "
                f"Give the file one column of texts, named text."
            ) from error
    else:
        try:
            lines = (Path(file).read_text(encoding="utf-8") if file else pasted).splitlines()
        except UnicodeDecodeError as error:
            raise gr.Error("The file is not UTF-8 text; save it as UTF-8.") from error
        texts = [line for line in lines if line.strip()]
    if not texts:
        raise gr.Error("There are no texts: paste some, one a line, or choose a file.")
    return texts


def _value(measure: Callable[[list[str]], Mapping[str, Any]], texts: list[str], key: str) -> float | None:
    """The value for some of the texts; none where they are too few."""
    try:
        return float(measure(texts)[key])
    except FacDatasetsError:
        return None
