"""Synthetic samples go to the server; what people keep, drop and edit comes back, and edits are measured anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import pytest

from fac_datasets import FeatureExtractor, augment, review
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, ReviewError
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.measuring import NOT_ACTIVE, measure
from fac_datasets.synthesis.provenance import provenance_of, synthetic_features, synthetic_row
from fac_datasets.synthesis.samples import Sample
from tests.servers.argilla.fixtures import Annotator, records_of
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED

if TYPE_CHECKING:
    import argilla

    from fac_datasets.rows.row import Row

pytestmark = pytest.mark.slow

People = tuple[Annotator, ...]

KEEP = {"shows_concept": "yes", "natural": "yes", "keep": "keep"}
DROP = {"shows_concept": "no", "natural": "maybe", "keep": "drop"}


@pytest.fixture
def measured(tiny_extractor: FeatureExtractor, synthetic: datasets.Dataset) -> datasets.Dataset:
    """Rows whose target is a feature that the tiny SAE finds in the text, with feature columns."""
    rows = synthetic.to_list()
    for row in rows:
        found = measure(tiny_extractor, [row["text"]])[0]
        feature = max(found, key=lambda each: found[each].activation)
        activation = found[feature].activation
        row |= {
            "target_feature": feature,
            "target_activation": activation,
            "target_threshold": activation / 2,
            "feature_space": str(tiny_extractor.feature_space),
        }
    return datasets.Dataset.from_list(rows, features=synthetic_features()).map(tiny_extractor, batched=True)


def activation_of(extractor: FeatureExtractor, row: Row, feature: int) -> float:
    """How active a feature is in a row."""
    return measure(extractor, [row])[0].get(feature, NOT_ACTIVE).activation


def ids(client: argilla.Argilla, name: str) -> list[str]:
    """Ids of the records on the server, in the order of the rows."""
    return [record["id"] for _, record in sorted(records_of(client, name).items())]


def test_a_record_shows_the_text_with_its_peak_and_the_feature(
    client: argilla.Argilla, name: str, measured: datasets.Dataset
) -> None:
    assert review.push_samples(measured, name, client=client).added == 3
    record = records_of(client, name)[measured[0]["synthetic_id"]]
    row = measured[0]
    place = row["feature_ids"].index(row["target_feature"])
    peak = row["text"][row["feature_starts"][place] : row["feature_ends"][place]].strip()
    assert f"{peak}</b></mark>" in record["fields"]["sample"]
    assert "samples" in record["fields"]["feature"]
    (suggestion,) = record["suggestions"]
    assert (suggestion["value"], suggestion["agent"]) == (row["text"], "a model that writes")


def test_without_feature_columns_nothing_is_marked(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_samples(synthetic, name, client=client)
    assert records_of(client, name)[f"{0:016x}"]["fields"]["sample"] == "<p>text 0 of the sample</p>"


def test_an_extractor_finds_what_to_mark(
    client: argilla.Argilla,
    name: str,
    measured: datasets.Dataset,
    synthetic: datasets.Dataset,
    tiny_extractor: FeatureExtractor,
) -> None:
    review.push_samples(measured, name, client=client)
    plain = measured.select_columns(list(synthetic_features()))
    assert review.push_samples(plain, name, client=client, extractor=tiny_extractor).unchanged == 3
    with pytest.raises(FeatureSpaceMismatch):
        review.push_samples(synthetic, name, client=client, extractor=tiny_extractor)


def test_labels_are_asked_about_where_there_are_any(
    client: argilla.Argilla, annotators: People, name: str, synthetic: datasets.Dataset
) -> None:
    labelled = synthetic.add_column("toxic", [0, 1, 0])
    review.push_samples(labelled, name, client=client, label_column="toxic")
    assert records_of(client, name)[f"{1:016x}"]["fields"]["label"] == "<p>1</p>"
    annotators[0].answer(ids(client, name)[1], **KEEP, label_right="no")
    reviewed = review.pull_samples(labelled, name, client=client)
    assert reviewed[1]["reviews"][0]["label_right"] == "no"


def test_what_people_keep_is_what_the_dataset_is_augmented_with(
    client: argilla.Argilla, annotators: People, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_samples(synthetic, name, client=client, min_submitted=3)
    first, second, third = ids(client, name)
    for person, of_first in zip(annotators, (KEEP, DROP, KEEP), strict=True):
        person.answer(first, **of_first)
        person.answer(second, **DROP)
    annotators[0].answer(third, "discarded")
    reviewed = review.pull_samples(synthetic, name, client=client)
    assert reviewed["accepted"] == [True, False, None]
    assert reviewed["review_shows_concept"] == ["yes", "no", None]
    assert reviewed["text"] == synthetic["text"]
    seed = datasets.Dataset.from_dict({"text": ["seed"]})
    assert augment(seed, reviewed).dataset["synthetic"]["text"] == ["text 0 of the sample"]
    found = review.summary(reviewed)
    assert (found.reviewed, found.submitted, found.discarded) == (2, 6, 1)
    # Of six decisions two are to keep, both on the same record: observed (2 * 2 / 2) / 6, expected 2 * 2 * 4 / (6 * 5).
    assert found.agreement["keep"].alpha == pytest.approx(1 - (2 / 6) / (16 / 30))


def test_edited_texts_are_measured_anew_and_dropped_where_the_feature_is_gone(
    client: argilla.Argilla,
    annotators: People,
    name: str,
    measured: datasets.Dataset,
    tiny_extractor: FeatureExtractor,
) -> None:
    review.push_samples(measured, name, client=client)
    better = measured[0]["text"] + "!"
    assert activation_of(tiny_extractor, better, measured[0]["target_feature"]) > measured[0]["target_threshold"]
    gone = next(
        text
        for text in ("zq", "0", "ÿ", "XXXX", "....")
        if activation_of(tiny_extractor, text, measured[1]["target_feature"]) < measured[1]["target_threshold"]
    )
    places = ids(client, name)
    for place, text in zip(places, (better, gone, measured[2]["text"]), strict=True):
        annotators[0].answer(place, **KEEP, edited=text)

    with pytest.raises(ReviewError, match=r"2 samples have edited texts.* pass extractor="):
        review.pull_samples(measured, name, client=client)
    reviewed = review.pull_samples(measured, name, client=client, extractor=tiny_extractor)
    assert reviewed["text"] == [better, gone, measured[2]["text"]]
    assert reviewed["original_text"] == [measured[0]["text"], measured[1]["text"], None]
    assert reviewed["accepted"] == [True, False, True]
    fresh = datasets.Dataset.from_dict({"text": reviewed["text"]}).map(tiny_extractor, batched=True)
    assert reviewed["feature_ids"] == fresh["feature_ids"]
    assert reviewed.column_names[: len(measured.column_names)] == measured.column_names
    for row in reviewed:
        activation = activation_of(tiny_extractor, row["text"], row["target_feature"])
        assert row["target_activation"] == pytest.approx(activation, abs=1e-4)

    again = review.pull_samples(reviewed, name, client=client)
    assert again.to_list() == reviewed.to_list()
    with pytest.raises(ReviewError, match="2 of these rows have texts that reviewers edited"):
        review.push_samples(reviewed, name, client=client)
    annotators[0].answer(places[0], **KEEP, edited=measured[0]["text"])
    back = review.pull_samples(reviewed, name, client=client, extractor=tiny_extractor)
    assert (back[0]["text"], back[0]["original_text"]) == (measured[0]["text"], None)
    assert back[0]["target_activation"] == pytest.approx(measured[0]["target_activation"], abs=1e-4)


def test_the_text_that_most_keepers_left_behind_is_taken(
    client: argilla.Argilla,
    annotators: People,
    name: str,
    measured: datasets.Dataset,
    tiny_extractor: FeatureExtractor,
) -> None:
    review.push_samples(measured, name, client=client, min_submitted=3)
    first, second, _ = ids(client, name)
    for person, text in zip(annotators, ("one", "two", "two"), strict=True):
        person.answer(first, **KEEP, edited=text)
    for person, decision in zip(annotators, (KEEP, KEEP, DROP), strict=True):
        person.answer(second, **decision, **({"edited": "ours"} if decision is DROP else {}))
    reviewed = review.pull_samples(measured, name, client=client, extractor=tiny_extractor)
    assert reviewed["text"][:2] == ["two", measured[1]["text"]]


def test_a_sample_is_accepted_by_as_many_as_the_push_asked_for(
    client: argilla.Argilla, annotators: People, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_samples(synthetic, name, client=client, min_submitted=2)
    first, _, _ = ids(client, name)
    for who, accepted in zip(annotators, (None, True), strict=False):
        who.answer(first, **KEEP)
        assert review.pull_samples(synthetic, name, client=client)["accepted"] == [accepted, None, None]


def test_a_row_that_is_there_twice_is_refused(client: argilla.Argilla, name: str, synthetic: datasets.Dataset) -> None:
    doubled = datasets.concatenate_datasets([synthetic, synthetic.select([0])])
    with pytest.raises(ColumnError, match=f"synthetic row {0:016x} is in more than one row"):
        review.push_samples(doubled, name, client=client)


def test_answers_to_an_earlier_text_are_drafts_again(
    client: argilla.Argilla, annotators: People, name: str, synthetic: datasets.Dataset
) -> None:
    review.push_samples(synthetic, name, client=client)
    annotators[0].answer(ids(client, name)[0], **KEEP, comment="fine")
    rewritten = datasets.Dataset.from_list(
        [synthetic[0] | {"text": "another"}, *synthetic.select([1, 2])], features=synthetic.features
    )
    assert review.push_samples(rewritten, name, client=client).outdated == 1
    reviewed = review.pull_samples(rewritten, name, client=client)
    (answer,) = reviewed[0]["reviews"]
    assert (answer["status"], answer["outdated"], answer["keep"], answer["comment"]) == ("draft", True, "keep", "fine")
    assert reviewed["accepted"] == [None] * 3


def test_pushing_again_adds_what_is_new(client: argilla.Argilla, name: str, synthetic: datasets.Dataset) -> None:
    review.push_samples(synthetic.select(range(2)), name, client=client)
    report = review.push_samples(synthetic, name, client=client)
    assert (report.added, report.unchanged) == (1, 2)
    assert len(records_of(client, name)) == 3


def test_edited_texts_need_the_extractor_that_verified_them(
    client: argilla.Argilla,
    annotators: People,
    name: str,
    synthetic: datasets.Dataset,
    tiny_extractor: FeatureExtractor,
) -> None:
    review.push_samples(synthetic, name, client=client)
    annotators[0].answer(ids(client, name)[0], **KEEP, edited="other")
    with pytest.raises(FeatureSpaceMismatch):
        review.pull_samples(synthetic, name, client=client, extractor=tiny_extractor)


def test_rows_that_are_not_synthetic_are_refused(client: argilla.Argilla, name: str) -> None:
    with pytest.raises(
        ColumnError, match=r"the rows lack the columns .*'synthetic_id'.*; pass what synthesize returned"
    ):
        review.push_samples(datasets.Dataset.from_dict({"text": ["a"]}), name, client=client)


def test_samples_may_hold_anything(client: argilla.Argilla, name: str, synthetic: datasets.Dataset) -> None:
    rows: list[dict[str, Any]] = synthetic.to_list()
    rows[0]["text"], rows[1]["text"], rows[2]["text"] = "a\x00b\x1b[31m", "\n\n    \t```\nx", "💡" * 5000
    odd = datasets.Dataset.from_list(rows, features=synthetic.features)
    assert review.push_samples(odd, name, client=client).added == 3
    assert review.push_samples(odd, name, client=client).unchanged == 3


def of_instructions(extractor: FeatureExtractor) -> datasets.Dataset:
    """Two synthetic exchanges, each of which aims at a feature that peaks in it."""
    seed = INSTRUCTIONS["prompt and response"]
    kind = recognise(seed)
    samples = [sample for sample in map(kind.sample_of, seed) if sample is not None][:2]
    rows = []
    for number, sample in enumerate(samples):
        found = measure(extractor, [kind.measured(sample)])[0]
        feature = max(found, key=lambda each: found[each].activation)
        activation = found[feature].activation
        target = {
            "synthetic_id": f"{number:016x}", "target_feature": feature, "target_name": "fruit",
            "target_part": "response", "target_activation": activation, "target_threshold": activation / 2,
            "method": "prompted", "attempt": 1, "generator": "a model", "prompt_digest": "0", "steering_strength": 0.0,
            "seed": 0, "feature_space": str(extractor.feature_space),
        }  # fmt: skip
        rows.append(synthetic_row(kind.cells(sample), target))
    return datasets.Dataset.from_list(rows, features=synthetic_features(kind.features))


def test_all_parts_of_an_exchange_are_shown_and_edited(
    client: argilla.Argilla, annotators: People, name: str, tiny_extractor: FeatureExtractor
) -> None:
    rows = of_instructions(tiny_extractor)
    review.push_samples(rows, name, client=client, extractor=tiny_extractor)
    record = records_of(client, name)[rows[0]["synthetic_id"]]
    assert all(shown in record["fields"]["sample"] for shown in ("<b>Prompt</b>", "<b>Response</b>", "<mark>"))
    (suggestion,) = record["suggestions"]
    assert suggestion["value"] == f"Prompt:\n{rows[0]['prompt']}\n\nResponse:\n{rows[0]['response']}"

    first, second = ids(client, name)
    annotators[0].answer(first, **KEEP, edited=suggestion["value"] + " Is it not?")
    annotators[0].answer(second, **KEEP, edited="A pear.")
    reviewed = review.pull_samples(rows, name, client=client, extractor=tiny_extractor)
    assert reviewed["prompt"] == rows["prompt"]
    assert reviewed["response"] == [rows["response"][0] + " Is it not?", rows["response"][1]]
    assert reviewed["original_text"] == [suggestion["value"], None]
    assert reviewed["accepted"][1] is None
    kind = recognise(INSTRUCTIONS["prompt and response"])
    sample = kind.sample_of(reviewed[0])
    assert sample is not None
    activation = activation_of(tiny_extractor, kind.measured(sample), rows[0]["target_feature"])
    assert reviewed[0]["target_activation"] == pytest.approx(activation, abs=1e-4)
    assert reviewed[0]["accepted"] is (activation > rows[0]["target_threshold"])
    assert review.pull_samples(reviewed, name, client=client).to_list() == reviewed.to_list()


def test_the_labels_of_a_kind_that_has_them_are_shown_by_name(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    seed = LABELLED["class label"]
    kind = recognise(seed)
    rows = [
        synthetic_row(kind.cells(Sample({"text": row["text"]}, number % 2)), dict(of))
        for number, (row, of) in enumerate(zip(synthetic, provenance_of(synthetic), strict=True))
    ]
    labelled = datasets.Dataset.from_list(rows, features=synthetic_features(kind.features))
    review.push_samples(labelled, name, client=client)
    records = records_of(client, name)
    assert [records[id]["fields"]["label"] for id in synthetic["synthetic_id"][:2]] == ["<p>dull</p>", "<p>vivid</p>"]


def test_columns_that_a_review_adds_cannot_be_the_users(
    client: argilla.Argilla, name: str, synthetic: datasets.Dataset
) -> None:
    rows = [synthetic_row({"text": "a text", "accepted": True}, dict(row)) for row in provenance_of(synthetic)]
    with pytest.raises(ColumnError, match=r"the columns \['accepted'\] are named as those of a review"):
        review.push_samples(datasets.Dataset.from_list(rows), name, client=client)
