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
        (
            {"question": "Which?", "choices": {"text": ["a"], "label": ["A", "B"]}, "answer": 0},
            "2 labels for 1 choices",
        ),
        ({"question": "Which?", "context": {"title": ["a"]}, "answer": "b"}, "holds dict in column 'context'"),
        ({"question": "Which?", "answer": ["b", "c"]}, "list of str"),
        ({"instruction": "Do.", "completions": {"response": ["a", "b"], "model": ["x"]}}, "lists of different lengths"),
        ({"query": "Which?", "answers": "[" * 100_000, "tools": ""}, "holds no JSON"),
        ({"query": "Which?", "answers": "none", "tools": ""}, "holds no JSON in column 'answers'"),
        ({"instruction": "Name one.", "output": [7]}, "list of int"),
        ({"messages": [{"content": "Hi."}]}, "message with keys"),
        ({"messages": {"role": ["user"], "content": ["a", "b"]}}, "lists of one length"),
    ],
)
def test_a_row_that_is_not_as_its_schema_says_is_named(cells: dict[str, object], problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        RowReader(list(cells)).read({name: [cell] for name, cell in cells.items()})


@pytest.mark.parametrize(
    ("cells", "chat", "problem"),
    [
        ({"question": "a", "answer": True}, [("user", "a"), ("assistant", "b")], "holds Value.*bool.*no place"),
        (
            {"question": "a", "choices": ["b"], "answer": 0},
            [("user", "a"), ("assistant", "c")],
            "none of the 0 choices",
        ),
        ({"query": "a", "answers": "[]", "tools": ""}, [("user", "a"), ("assistant", "c")], "no list of calls"),
        ({"text": "a"}, [("user", "a"), ("assistant", "c")], "a chat of 2 messages has no place"),
        ({"conversations": ["a", "b"]}, [("system", "s"), ("user", "a")], "alternate"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b"}, [("user", "a"), ("tool", "b")], "no tool can speak"),
        ({"chosen": "x"}, [("user", "a\n\nHuman: b"), ("assistant", "c")], "cannot spell a turn"),
    ],
)
def test_a_row_that_has_no_place_in_the_columns_is_refused(
    cells: dict[str, object], chat: list[tuple[str, str]], problem: str
) -> None:
    rows = datasets.Dataset.from_list([cells])
    reader = RowReader(rows.features, "chosen" if "chosen" in cells else None)
    with pytest.raises(DatasetError, match=problem):
        reader.write(Chat({"role": role, "content": content} for role, content in chat))


@pytest.mark.parametrize("named", [1, 1.0, "1", "B", "b", "(B)", "B.", "Pear", " Pear "])
def test_a_right_choice_has_many_names(named: object) -> None:
    cells = {"question": ["Which?"], "choices": [["Plum", "Pear"]], "answer": [named]}
    (row,) = RowReader(list(cells)).read(cells)
    assert own_texts(row)[1] == "Pear"


def test_choices_are_found_again_behind_a_question_that_lists_too() -> None:
    rows = datasets.Dataset.from_dict(
        {"question": ["Vitamin\nA. is good\n\nA. is true:"], "choices": [["x\ny", "z"]], "answer": [1]}
    )
    reader = RowReader(rows.features)
    (row,) = reader.read(rows[:])
    assert reader.write(row) == rows[0]


@pytest.mark.parametrize(
    ("cells", "contents"),
    [
        ({"prompt": "Hi.", "chosen": []}, ["Hi.", ""]),
        ({"prompt": "\n\nHuman: Hi.\n\nAssistant:", "chosen": " Yo."}, ["Hi.", " Yo."]),
        ({"prompt": "Hi.", "chosen": "Hi."}, ["Hi.", "Hi."]),
        (
            {
                "prompt": "Hi.",
                "chosen": [
                    {"role": "system", "content": "S"},
                    {"role": "user", "content": "Hi."},
                    {"role": "assistant", "content": "Yo."},
                ],
            },
            ["S", "Hi.", "Yo."],
        ),
    ],
)
def test_a_prompt_is_read_once_and_never_in_place_of_an_answer(cells: dict[str, object], contents: list[str]) -> None:
    (row,) = RowReader(list(cells), "chosen").read({name: [cell] for name, cell in cells.items()})
    assert own_texts(row) == contents


def test_an_answer_that_is_not_read_is_an_error_though_its_prompt_is() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    with pytest.raises(RowError, match="holds only tool_calls"):
        RowReader(["chosen"], "chosen").read({"chosen": [[{"role": "user", "content": "Hi."}, call]]})


def test_a_withheld_answer_leaves_the_question_alone() -> None:
    cells = {"question": ["Which?"], "choices": [["Plum", "Pear"]], "answer": [-1]}
    (row,) = RowReader(list(cells)).read(cells)
    assert roles_of(row) == ["user"]


def test_the_page_of_the_room_shows_the_table() -> None:
    page = (Path(fac_datasets.__file__).parent / "rows" / "README.md").read_text(encoding="utf-8")
    for schema in SCHEMAS:
        columns = [*(f"`{name}`" for name in schema.columns), *(f"[`{name}`]" for name in schema.optional)]
        assert f"| {', '.join(columns)} | {schema.shows} |" in page
