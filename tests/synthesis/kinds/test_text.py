"""How a text is read from an answer."""

from __future__ import annotations

import datasets

from fac_datasets.rows.row import TextParts
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import NO_TEXT
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import TEXTS


def test_an_answer_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    kind = recognise(TEXTS["text"])
    assert kind.read("One. Two is", False) == Sample({"text": "One."})
    assert kind.read("One. Two is", True) == Sample({"text": "One. Two is"})
    assert kind.read("One two", False) == Rejected(NO_TEXT)
    assert kind.read("print(1)\nprint(", False) == Sample({"text": "print(1)"})


def test_a_text_may_come_under_a_header_or_as_json() -> None:
    kind = recognise(TEXTS["text"])
    for answer in ("Text: Pears are ripe.", '{"text": "Pears are ripe."}'):
        assert kind.read(answer, True) == Sample({"text": "Pears are ripe."})


def test_a_text_of_several_columns_has_a_part_for_each() -> None:
    seed = datasets.Dataset.from_dict({"title": ["Pears"], "body": ["They are ripe."], "year": [1999]})
    kind = recognise(seed, column=["title", "body"])
    assert kind.parts == ("title", "body")
    found = kind.read("title: Plums\nbody: They are blue.", True)
    assert found == Sample({"title": "Plums", "body": "They are blue."})
    assert kind.cells(found) == {"title": "Plums", "body": "They are blue.", "year": None}
    assert kind.read("title: Plums", True) == Rejected("no body")


def test_a_template_is_measured_as_the_seed_was() -> None:
    seed = datasets.Dataset.from_dict({"title": ["Pears"], "body": ["They are ripe."]})
    kind = recognise(seed, column="{title}: {body}")
    sample = kind.sample_of(seed[0])
    assert sample is not None
    measured = kind.measured(sample)
    assert isinstance(measured, TextParts)
    assert measured.whole == "Pears: They are ripe."


def test_a_column_of_nothing_gets_texts() -> None:
    kind = recognise(datasets.Dataset.from_dict({"text": [None, None]}))
    assert kind.cells(Sample({"text": "Pears are ripe."})) == {"text": "Pears are ripe."}


def test_chats_in_which_an_assistant_speaks_are_no_texts() -> None:
    seed = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": "Hi."}]] * 2})
    kind = recognise(seed)
    assert kind.name == "text"
    assert kind.cells(Sample({"text": "Hello."})) == {"messages": [{"role": "user", "content": "Hello."}]}
