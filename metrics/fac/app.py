"""The Space of the fac metric: paste two sets of texts, see how much of the second the first covers."""

import gradio as gr

from fac_datasets.text_coverage import coverage_of_inputs

TEXTS = "How do I cook rice?\nWhat is a good soup for winter?"
ANCHOR = "How do I cook rice?\nHow do I sort a list in Python?"


def measure(texts: str, anchor: str, threshold: str) -> tuple[str, list[int]]:
    """Coverage in words, and the ids of missing features."""
    predictions, references = ([line for line in box.splitlines() if line.strip()] for box in (texts, anchor))
    if not predictions or not references:
        raise gr.Error("Both boxes need at least one text.")
    result = coverage_of_inputs(predictions, references, threshold=threshold)
    words = (
        f"**FAC {result['fac']:.3f}** [{result['low']:.3f}, {result['high']:.3f}]: the texts activate "
        f"{result['n_covered']} of the {result['n_relevant']} features that the anchor activates."
    )
    return words, result["missing"]


with gr.Blocks(title="Feature activation coverage") as demo:
    gr.Markdown(
        "# Feature activation coverage\nThe share of the anchor's sparse-autoencoder features that the texts activate "
        "too. One text a line; measured with SmolLM2-135M-Instruct."
    )
    with gr.Row():
        texts_box = gr.Textbox(label="Texts to measure", lines=8, value=TEXTS)
        anchor_box = gr.Textbox(label="Anchor: texts of the target task", lines=8, value=ANCHOR)
    threshold_box = gr.Dropdown(["q50", "q75", "q90", "q95", "q99"], value="q90", label="Threshold (quantile)")
    button = gr.Button("Measure", variant="primary")
    outcome = gr.Markdown()
    missing = gr.JSON(label="Missing features, those of most anchor texts first")
    button.click(measure, [texts_box, anchor_box, threshold_box], [outcome, missing])

if __name__ == "__main__":
    demo.launch()
