"""The Space of the fac metric: two sets of texts in, out comes how much of the second the first covers."""

import gradio as gr
from matplotlib.figure import Figure

from fac_datasets.coverage.interval import with_interval
from fac_datasets.coverage.names import shown_name
from fac_datasets.coverage.shares import shares_in_words
from fac_datasets.errors import FacDatasetsError
from fac_datasets.evaluate_modules.page import FILES, on_click, texts_of
from fac_datasets.evaluate_modules.text_coverage import coverage_of_inputs
from fac_datasets.plots import growth_figure

TEXTS = "How do I cook rice?\nWhat is a good soup for winter?"
ANCHOR = "How do I cook rice?\nHow do I sort a list in Python?"


def measure(
    texts: str, texts_file: str | None, anchor: str, anchor_file: str | None, threshold: str
) -> tuple[str, list[list[str]], Figure]:
    """Coverage in words, missing features with their names, and rarefaction."""
    try:
        predictions, references = texts_of(texts, texts_file), texts_of(anchor, anchor_file)
        result = coverage_of_inputs(predictions, references, threshold=threshold, rarefaction=True)
    except FacDatasetsError as error:
        raise gr.Error(str(error)) from error
    words = (
        f"**FAC {with_interval(result)}**: the texts activate "
        f"{result['n_covered']} of the {result['n_relevant']} features that the anchor activates.\n"
    )
    words += "".join(f"\n- {line}" for line in shares_in_words(result))
    missing = [[str(feature), shown_name(result["names"].get(str(feature), ""))] for feature in result["missing"]]
    return words, missing, growth_figure(result["rarefaction"], "texts drawn at random", "expected FAC")


with gr.Blocks(title="Feature activation coverage") as demo:
    gr.Markdown(
        "# Feature activation coverage\nThe share of the anchor's sparse-autoencoder features that the texts activate "
        "too, with a 95 % interval. One text a line; measured with SmolLM2-135M-Instruct."
    )
    with gr.Row():
        with gr.Column():
            texts_box = gr.Textbox(label="Texts to measure", lines=8, value=TEXTS)
            texts_file = gr.File(label="or a file with texts", file_types=list(FILES), type="filepath")
        with gr.Column():
            anchor_box = gr.Textbox(label="Anchor: texts of the target task", lines=8, value=ANCHOR)
            anchor_file = gr.File(label="or a file with texts", file_types=list(FILES), type="filepath")
    threshold_box = gr.Dropdown(["q50", "q75", "q90", "q95", "q99"], value="q90", label="Threshold (quantile)")
    button = gr.Button("Measure", variant="primary")
    outcome = gr.Markdown()
    plot = gr.Plot(show_label=False)
    missing = gr.Dataframe(
        headers=["feature", "tokens where it peaks"],
        label="Missing features, those of most anchor texts first",
        max_height=400,
    )
    on_click(button, measure, [texts_box, texts_file, anchor_box, anchor_file, threshold_box], [outcome, missing, plot])

if __name__ == "__main__":
    demo.launch()
