"""Every schema is read whole, written back, and known by its columns."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

import fac_datasets
from fac_datasets.errors import DatasetError, RowError
from fac_datasets.rows.reader import RowReader
from fac_datasets.rows.row import Chat, own_texts
from fac_datasets.rows.schemas import SCHEMAS
from tests.rows.schema_rows import EXAMPLES, roles_of


def dataset_of(name: str) -> datasets.Dataset:
    return datasets.Dataset.from_list([EXAMPLES[name].cells] * 2)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_schema_is_read_whole(name: str) -> None:
    example, rows = EXAMPLES[name], dataset_of(name)
    first, second = RowReader(rows.features, example.column).read(rows[:])
    assert (own_texts(first), roles_of(first)) == (example.parts, example.roles)
    assert first == second


@pytest.mark.parametrize("name", EXAMPLES)
def test_positions_name_a_part_where_there_are_several(name: str) -> None:
    example, rows = EXAMPLES[name], dataset_of(name)
    has_parts = example.roles is not None or len(example.parts) > 1
    assert RowReader(rows.features, example.column).has_parts == has_parts


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.is_written])
def test_what_is_read_is_written_so_that_it_is_read_alike(name: str) -> None:
    example, rows = EXAMPLES[name], dataset_of(name)
    reader = RowReader(rows.features, example.column)
    (row, _) = reader.read(rows[:])
    cells = reader.write(row)
    assert {*cells} <= {*rows.column_names}
    written = rows.select([0]).map(lambda _: cells)
    assert written.features == rows.features
    assert reader.read(written[:]) == [row]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_text_goes_to_what_asks(name: str) -> None:
    example, rows = EXAMPLES[name], dataset_of(name)
    reader = RowReader(rows.features, example.column)
    cells = {**dict.fromkeys(rows.column_names), **reader.write("Which fruit is red?")}
    alone = RowReader(rows.features, example.column).read({name: [cell] for name, cell in cells.items()}, [])
    if "choice" not in name:
        assert "".join(own_texts(alone[0])) == "Which fruit is red?"


def test_every_schema_has_an_example() -> None:
    read = {RowReader(dataset_of(name).features, example.column).schema.name for name, example in EXAMPLES.items()}
    untried = {"query, response", "problem, solution", "question, options, answer", "instruction"}
    assert {schema.name for schema in SCHEMAS} == read | untried


def test_a_chat_of_many_turns_does_not_fit_into_columns_of_one() -> None:
    reader = RowReader(["question", "answer"])
    with pytest.raises(DatasetError, match="user, assistant, user does not fit"):
        reader.write(Chat({"role": role, "content": "a"} for role in ("user", "assistant", "user")))


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"question": "Which?", "choices": ["Plum", "Pear"], "answer": 5}, "names 5 in column 'answer'"),
        ({"question": "Which?", "choices": "Plum, pear", "answer": 0}, "holds str in column 'choices'"),
        ({"query": "Which?", "answers": "none", "tools": ""}, "holds no JSON in column 'answers'"),
        ({"instruction": "Name one.", "output": [7]}, "list of int"),
        ({"messages": [{"content": "Hi."}]}, "message with keys"),
        ({"messages": {"role": ["user"], "content": ["a", "b"]}}, "lists of one length"),
    ],
)
def test_a_row_that_is_not_as_its_schema_says_is_named(cells: dict[str, object], problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        RowReader(list(cells)).read({name: [cell] for name, cell in cells.items()})


def test_a_withheld_answer_leaves_the_question_alone() -> None:
    cells = {"question": ["Which?"], "choices": [["Plum", "Pear"]], "answer": [-1]}
    (row,) = RowReader(list(cells)).read(cells)
    assert roles_of(row) == ["user"]


def test_the_page_of_the_room_shows_the_table() -> None:
    page = (Path(fac_datasets.__file__).parent / "rows" / "README.md").read_text(encoding="utf-8")
    for schema in SCHEMAS:
        columns = [*(f"`{name}`" for name in schema.columns), *(f"[`{name}`]" for name in schema.optional)]
        assert f"| {', '.join(columns)} | {schema.shows} |" in page
