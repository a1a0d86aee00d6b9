"""A kind is recognised by the columns of a dataset, and reads, shows and writes rows in its types and manner."""

from __future__ import annotations

import datasets
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from fac_datasets.errors import ColumnError, SynthesisError
from fac_datasets.rows.reader import RowReader
from fac_datasets.synthesis.kinds import KINDS, recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import ALL, INSTRUCTIONS, LABELLED, PAIRS, TEXTS

SIDES = {"preference": "chosen"}
"""What is measured of kinds of which a side has to be named."""

words = st.text(st.sampled_from("abc déß,.?!'\"()*#{}\\ \n"), min_size=1, max_size=40).filter(
    lambda text: text.strip() and not text.strip().startswith(("{", "[", '"'))
)


def as_dataset(kind: DataKind, samples: list[Sample]) -> datasets.Dataset:
    cells = [kind.cells(sample) for sample in samples]
    return datasets.Dataset.from_dict(
        {name: [row[name] for row in cells] for name in kind.features}, features=kind.features
    )


def samples_of(kind: DataKind, seed: datasets.Dataset) -> list[Sample]:
    return [sample for sample in map(kind.sample_of, seed) if sample is not None]


@pytest.mark.parametrize("name", ALL)
def test_every_schema_is_recognised(name: str) -> None:
    expected, seed = ALL[name]
    kind = recognise(seed, column=SIDES.get(expected))
    assert kind.name == expected
    assert recognise(seed, expected, column=SIDES.get(expected)).name == expected
    assert len(samples_of(kind, seed)) == len(seed)


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_equals_the_seed_in_values_types_and_order(name: str) -> None:
    expected, seed = ALL[name]
    kind = recognise(seed, column=SIDES.get(expected))
    written = as_dataset(kind, samples_of(kind, seed))
    assert written.features == seed.features
    assert written.column_names == seed.column_names
    kept = [column for column in seed.column_names if column in kind.written]
    if name == "instruction: messages with other keys":
        for row in written:
            assert [message.pop("weight") for message in row["messages"]] == [None, None]
        seed = seed.map(lambda row: {"messages": [{**m, "weight": None} for m in row["messages"]]})
    assert written.select_columns(kept).to_list() == seed.select_columns(kept).to_list()
    assert {value for column in kind.left_empty for value in written[column]} <= {None}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_answer_in_the_form_that_was_shown_is_read_as_it_is(name: str, as_json: bool) -> None:
    expected, seed = ALL[name]
    kind = recognise(seed, column=SIDES.get(expected))
    for sample in samples_of(kind, seed):
        assert kind.read(kind.show(sample, as_json=as_json), True, sample) == sample
        assert list(kind.json_schema(sample)["properties"]) == list(sample.texts)


@pytest.mark.parametrize("name", ALL)
def test_what_is_measured_is_what_the_extractor_reads_of_the_row(name: str) -> None:
    expected, seed = ALL[name]
    kind = recognise(seed, column=SIDES.get(expected))
    samples = samples_of(kind, seed)
    written = as_dataset(kind, samples)
    reader = RowReader(written.features, SIDES.get(expected))
    assert [kind.measured(sample) for sample in samples] == reader.read(written.with_format("arrow")[:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(st.data())
def test_whatever_is_written_is_read_back(name: str, data: st.DataObject) -> None:
    expected, seed = ALL[name]
    kind = recognise(seed, column=SIDES.get(expected))
    like = samples_of(kind, seed)[0]
    wanted = Sample({part: data.draw(words).strip() for part in like.texts}, like.label, like.system)
    found = kind.read(kind.show(wanted), True, like)
    if isinstance(found, Rejected):
        return
    assert as_dataset(kind, [found])[0] == kind.cells(found)
    assert kind.sample_of(as_dataset(kind, [found])[0]) == found


def test_a_kind_says_what_it_fills_and_what_it_leaves_empty() -> None:
    kind = recognise(INSTRUCTIONS["prompt and response"])
    assert kind.in_words == "kind of data: instruction, columns prompt, response; left empty: id"


def test_the_column_tells_what_is_measured_and_not_what_is_written() -> None:
    kind = recognise(INSTRUCTIONS["prompt and response"], column="prompt")
    assert kind.name == "instruction"
    (sample, *_) = samples_of(kind, INSTRUCTIONS["prompt and response"])
    assert kind.measured(sample) == "Name a fruit."
    assert kind.part_at(sample) == "prompt"
    assert kind.cells(sample)["response"] == "A pear is one."


def test_a_kind_says_in_which_part_a_message_is() -> None:
    kind = recognise(INSTRUCTIONS["messages with a system prompt"])
    (sample, *_) = samples_of(kind, INSTRUCTIONS["messages with a system prompt"])
    assert [kind.part_at(sample, message) for message in range(3)] == ["", "prompt", "response"]
    pair = recognise(PAIRS["transcripts"], column="rejected")
    (sample, *_) = samples_of(pair, PAIRS["transcripts"])
    assert [pair.part_at(sample, message) for message in range(4)] == ["prompt", "response", "prompt_2", "rejected"]


def test_an_unknown_schema_lists_what_was_looked_for() -> None:
    odd = datasets.Dataset.from_dict({"speech": ["Hello."], "year": [1]})
    with pytest.raises(ColumnError, match=r"\['speech', 'year'\] are of no kind") as told:
        recognise(odd)
    assert all(kind.looks_for in str(told.value) for kind in KINDS.values())
    assert recognise(odd, column="speech").name == "text"


def test_a_kind_whose_columns_are_missing_is_refused_by_its_name() -> None:
    with pytest.raises(ColumnError, match="of no kind of data that can be written as 'preference'; looked for pref"):
        recognise(TEXTS["text"], "preference")
    with pytest.raises(SynthesisError, match="there is no data kind 'poem'"):
        recognise(TEXTS["text"], "poem")
    with pytest.raises(ColumnError, match="there is no column 'body'"):
        recognise(TEXTS["text"], column="body")


def test_kind_text_leaves_labels_empty() -> None:
    kind = recognise(LABELLED["strings"], "text")
    assert kind.left_empty == ("label",)


def test_feature_columns_are_none_of_the_users() -> None:
    seed = TEXTS["text"].add_column("feature_space", ["space"] * 3)
    assert list(recognise(seed).features) == ["text", "topic"]
