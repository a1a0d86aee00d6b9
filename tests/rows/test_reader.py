"""Which columns are read, and how they come out of every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from fac_datasets.errors import ColumnError, RowError
from fac_datasets.rows.reader import RowReader, each_row_parts, row_texts
from fac_datasets.rows.row import TextParts, own_texts
from tests.rows.schema_rows import EXAMPLES, roles_of

FORMATS = ["python", "arrow", "pandas", "numpy", "torch"]


def batch_in(rows: datasets.Dataset, form: str) -> Any:
    return rows[:] if form == "python" else rows.with_format(form)[:]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_row_is_the_same_in_every_format(name: str, form: str) -> None:
    example = EXAMPLES[name]
    batch = batch_in(datasets.Dataset.from_list([example.cells] * 2), form)
    reader = RowReader.of_batch(batch, example.column)
    rows = reader.read(batch)
    assert [(own_texts(row), roles_of(row)) for row in rows] == [(example.parts, example.roles)] * 2
    assert reader.has_parts == (example.roles is not None or len(example.parts) > 1)


MIXED: dict[str, list[dict[str, Any]]] = {
    "contents that are texts and parts": [
        {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "More."}]}]},
        {"messages": [{"role": "user", "content": "42"}]},
    ],
    "arguments of two types": [
        {
            "messages": [
                {"role": "user", "content": "Hi."},
                {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {"a": value}}]},
            ]
        }
        for value in (1, "one", [1])
    ],
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", MIXED)
def test_columns_of_json_are_decoded(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in MIXED[name]))
    rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
    batch = batch_in(rows, form)
    found = [own_texts(row) for row in RowReader.of_batch(batch).read(batch)]
    if name == "arguments of two types":
        assert found == [["Hi.", ""]] * 3
    else:
        assert found == [["Hi.", "Hello."], ["More."], ["42"]]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_a_text_is_the_same_in_every_type_of_arrow(kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["one", None, "three"]).cast(kind)})
    assert RowReader.of_batch(table).read(table) == ["one", None, "three"]


def test_missing_texts_of_pandas_are_nothing() -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["one", None, float("nan")]})
    assert RowReader.of_batch(frame).read(frame) == ["one", None, None]


def test_several_columns_are_parts_of_a_text() -> None:
    rows = datasets.Dataset.from_dict({"title": ["Pears"], "body": ["They are ripe."], "note": [None]})
    (row,) = RowReader(rows.features, ["title", "note", "body"]).read(rows[:])
    assert isinstance(row, TextParts)
    assert (row.whole, row.names) == ("Pears\n\nThey are ripe.", ("title", "note", "body"))


def test_a_template_says_what_stands_between_columns() -> None:
    rows = datasets.Dataset.from_dict({"question": ["Ripe?"], "answer": ["Yes."]})
    reader = RowReader(rows.features, "Q: {question}\nA: {answer}!")
    (row,) = reader.read(rows[:])
    assert isinstance(row, TextParts)
    assert reader.schema.name == "Q: {question}\nA: {answer}!"
    assert (row.whole, row.texts, reader.prefix) == ("Q: Ripe?\nA: Yes.!", ("Ripe?", "Yes."), "")


@pytest.mark.parametrize("template", ["{question", "{question!r}", "{question}{question}", "{}"])
def test_a_template_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(ColumnError, match="no template of columns"):
        RowReader(["question"], template)


@pytest.mark.parametrize(
    ("columns", "column", "message"),
    [
        (["number"], None, r"no known schema .* column=.*Known are messages"),
        (["prompt", "chosen", "rejected"], None, "column='chosen' or column='rejected'"),
        (["messages", "chosen", "rejected"], None, "or column='messages'"),
        (["text"], "txt", "no column 'txt'"),
        (["text"], ["text", "body"], "no column 'body'"),
        (["text"], [], "no column is named"),
    ],
)
def test_what_cannot_be_told_is_asked(columns: list[str], column: Any, message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        RowReader(columns, column)


def test_different_texts_in_columns_that_could_be_meant_are_an_error() -> None:
    reader = RowReader(["text", "prompt"])
    with pytest.raises(ColumnError, match=r"\['text', 'prompt'\], and row 1 .* different"):
        reader.read({"text": ["a b", "a b"], "prompt": ["b", "c"]}, refused=[])


def test_rows_as_texts_are_compared_too() -> None:
    with pytest.raises(ColumnError, match="several columns could be meant"):
        row_texts(datasets.Dataset.from_dict({"text": ["A."], "prompt": ["B."]}))


def test_of_two_texts_the_one_that_holds_the_other_is_read() -> None:
    reader = RowReader(["text", "prompt"])
    assert reader.read({"text": ["a b", "a"], "prompt": ["b", "a c"]}) == ["a b", "a c"]
    assert reader.repeated == ["prompt"]


def test_columns_of_known_schemas_that_are_not_read_are_named() -> None:
    assert RowReader(["text", "response", "id"]).left_out == ["response"]
    assert RowReader(["text", "response", "id"], "text").left_out == []
    assert RowReader(["prompt", "response"]).left_out == []
    assert RowReader(["prompt", "response_0", "response_1", "is_response_0_safe"]).left_out == [
        "response_0",
        "response_1",
    ]
    labelled = {"text": datasets.Value("string"), "answer": datasets.Value("int64")}
    assert RowReader(labelled).left_out == []


@pytest.mark.parametrize("kind", [datasets.Value("int64"), datasets.Image(), datasets.ClassLabel(names=["a"])])
def test_a_column_of_another_type_is_refused(kind: Any) -> None:
    with pytest.raises(ColumnError, match="column 'label' holds"):
        RowReader({"label": kind}, "label")


def test_rows_that_cannot_be_read_are_nothing_where_that_is_wanted() -> None:
    refused: list[RowError] = []
    rows = RowReader(["messages"]).read({"messages": [[7], [{"role": "user", "content": "Hi."}]]}, refused)
    assert rows[0] is None
    assert [error.row for error in refused] == [0]


def test_a_side_of_a_preference_is_its_last_message_as_a_text() -> None:
    rows = datasets.Dataset.from_dict({"prompt": ["Ripe?"], "chosen": ["Yes."], "rejected": ["No."]})
    assert row_texts(rows, "chosen") == ["Yes."]
    assert RowReader(rows.features, "rejected").prefix == "rejected_"


def test_a_row_that_cannot_be_read_is_named_by_its_place_in_the_dataset() -> None:
    chats = [[{"role": "user", "content": "Hi."}]] * 1_200
    rows = datasets.Dataset.from_dict({"messages": [*chats, [{"role": None, "content": "Hi."}]]})
    with pytest.raises(RowError, match="row 1200 has a message"):
        row_texts(rows)


def test_a_list_of_words_is_no_chat() -> None:
    rows = datasets.Dataset.from_dict({"tokens": [["The", "cat"]]})
    with pytest.raises(RowError, match="list of str"):
        RowReader(rows.features, "tokens").read(rows[:])


def test_all_texts_of_both_sides_of_a_preference_are_its_parts() -> None:
    chats = {
        side: [[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": said}]]
        for side, said in (("chosen", "Hello."), ("rejected", "What?"))
    }
    assert list(each_row_parts(datasets.Dataset.from_dict(chats))) == [["Hi.", "Hello.", "What?"]]
    one_side = datasets.Dataset.from_dict({"text": ["Hi."], "chosen": ["Hello."]})
    assert list(each_row_parts(one_side, "text")) == [["Hi."]]
    wrong = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": "Hi."}], [{"speaker": "me"}]]})
    with pytest.raises(RowError, match="row 1 has a message"):
        list(each_row_parts(wrong))
