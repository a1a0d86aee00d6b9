"""What is shown for a target: rows that activate it, its phrases, and a real row as the strong example."""

from __future__ import annotations

from collections import Counter
from typing import Any

import datasets
import pytest

from fac_datasets.errors import SynthesisError
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.prompting import EXAMPLE_CHARACTERS
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.showing import EXAMPLES, Shelf, phrase_at, shortened
from fac_datasets.synthesis.targets import Target

ANCHOR = datasets.Dataset.from_dict({"text": ["Pears are ripe.", "  The plums are not.  ", "Rain fell.", "Figs dry."]})

LABELLED = datasets.Dataset.from_dict(
    {"text": [f"Text number {place}." for place in range(90)], "label": ["calm"] * 80 + ["angry"] * 9 + ["sad"]}
)


def span(row: int, text: str, peak: str, activation: float) -> dict[str, Any]:
    start = text.index(peak)
    return {"text": text, "start": start, "end": start + len(peak), "activation": activation, "row": row}


SPANS = (span(1, "  The plums are", "plums", 4.0), span(0, "Pears are", "Pears", 3.0), span(3, "Figs", "Figs", 1.0))


def target(*spans: dict[str, Any], feature: int = 3, row: int | None = None) -> Target:
    return Target(feature, "fruit", 0.5, spans, row=row)


def shelf(anchor: datasets.Dataset | None = ANCHOR, seed: datasets.Dataset | None = None, **options: Any) -> Shelf:
    rows = seed if seed is not None else ANCHOR
    return Shelf(recognise(rows), anchor, seed, **options)


def test_rows_that_activate_the_feature_are_shown_the_strongest_next_to_the_answer() -> None:
    pursuit = shelf().pursuit(target(*SPANS))
    assert [sample.whole for sample in pursuit.examples] == ["Figs dry.", "Pears are ripe.", "The plums are not."]
    assert pursuit.like is pursuit.examples[-1]


def test_the_planned_row_leads() -> None:
    assert shelf().pursuit(target(*SPANS, row=2)).like.whole == "Rain fell."


def test_rows_of_the_seed_are_added_where_few_activate_the_feature() -> None:
    pursuit = shelf(seed=datasets.Dataset.from_dict({"text": ["Mine one.", "Mine two.", "Mine three."]})).pursuit(
        target(SPANS[1])
    )
    assert len(pursuit.examples) == EXAMPLES
    assert pursuit.like.whole == "Pears are ripe."
    assert all(sample.whole.startswith("Mine") for sample in pursuit.examples[:-1])


def test_spans_stand_for_rows_where_there_is_no_anchor() -> None:
    pursuit = shelf(anchor=None).pursuit(target(*SPANS))
    assert [sample.whole for sample in pursuit.examples] == ["Figs", "Pears are", "The plums are"]


def test_a_row_of_the_anchor_is_the_strong_example_with_its_measured_activation() -> None:
    real = shelf().pursuit(target(*SPANS)).real
    assert real is not None
    assert (real.sample.whole, real.activation) == ("The plums are not.", 4.0)
    assert real.sample.marked(real.part, real.start, real.end).whole == "The **plums** are not."


def test_a_span_is_the_strong_example_where_there_is_no_anchor() -> None:
    real = shelf(anchor=None).pursuit(target(*SPANS)).real
    assert real is not None
    assert real.sample.marked(real.part, real.start, real.end).whole.strip() == "The **plums** are"


def test_labels_are_asked_for_with_balance_where_the_anchor_has_none() -> None:
    of_labels = shelf(anchor=ANCHOR, seed=LABELLED)
    pursuits = [of_labels.pursuit(target(*SPANS, feature=feature)) for feature in range(9)]
    assert Counter(pursuit.like.label for pursuit in pursuits) == {"calm": 3, "angry": 3, "sad": 3}
    assert all(pursuit.like is pursuit.examples[-1] for pursuit in pursuits)


def test_a_row_of_the_anchor_that_leads_keeps_its_label() -> None:
    anchor = datasets.Dataset.from_dict({"text": ["Pears are ripe.", "The plums are not.", "x"], "label": ["sad"] * 3})
    seed = datasets.concatenate_datasets([LABELLED, anchor])
    labelled = datasets.Dataset.from_dict({"text": [*ANCHOR["text"]], "label": ["sad", "sad", "calm", "angry"]})
    of_labels = shelf(anchor=labelled, seed=seed)
    assert {of_labels.pursuit(target(*SPANS, feature=feature)).like.label for feature in range(4)} == {"sad"}


def test_the_strong_example_has_the_label_that_is_asked_for() -> None:
    labelled = datasets.Dataset.from_dict({"text": [*ANCHOR["text"]], "label": ["sad", "angry", "calm", "sad"]})
    real = shelf(anchor=labelled, seed=LABELLED).pursuit(target(*SPANS, row=0)).real
    assert real is not None
    assert (real.sample.label, real.sample.whole) == ("sad", "Pears are ripe.")


def test_where_no_row_can_be_shown_nothing_is_asked() -> None:
    seed = datasets.Dataset.from_dict({"prompt": ["Name a fruit."], "completion": [""]})
    with pytest.raises(SynthesisError, match="no row has all parts of the kind 'instruction'"):
        shelf(anchor=None, seed=seed).pursuit(target(*SPANS))


def test_phrases_end_where_the_feature_peaks_the_strongest_first() -> None:
    assert shelf().pursuit(target(*SPANS)).phrases == ("The plums", "Pears", "Figs")


@pytest.mark.parametrize(
    ("text", "peak", "phrase"),
    [
        ("One two three four five six", "five", "two three four five"),
        ("The unripe plum", "un", "The unripe"),
        ("", "", ""),
    ],
)
def test_a_phrase_is_a_few_whole_words(text: str, peak: str, phrase: str) -> None:
    start = text.index(peak)
    assert phrase_at(text, start, start + len(peak)) == phrase


def test_a_long_part_is_cut_to_what_stands_around_a_text() -> None:
    sample = Sample({"prompt": "Short.", "response": "one two " * 100 + "here it is " + "three four " * 100})
    cut = shortened(sample, "here it is")
    assert cut.texts["prompt"] == "Short."
    assert "here it is" in cut.texts["response"] and len(cut.texts["response"]) <= EXAMPLE_CHARACTERS
