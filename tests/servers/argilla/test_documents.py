"""The search of the test server by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.argilla.documents import (
    Documents,
    leaves,
    shuffled,
    similarity,
    sort_documents,
    term_counts,
    text_score,
    within,
)


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    found = Documents(tmp_path / "documents.db")
    found.put("d", [{"id": "a", "n": 2}, {"id": "b", "n": 1}, {"id": "c"}])
    return found


def test_documents_keep_their_order_and_are_replaced_in_place(documents: Documents) -> None:
    documents.put("d", [{"id": "a", "n": 9}])
    assert list(documents.of("d")) == [{"id": "a", "n": 9}, {"id": "b", "n": 1}, {"id": "c"}]
    assert list(documents.of("another dataset")) == []


def test_documents_outlive_the_process_that_put_them(documents: Documents, tmp_path: Path) -> None:
    assert list(Documents(tmp_path / "documents.db").of("d")) == list(documents.of("d"))


def test_one_document_is_edited_and_a_missing_one_is_an_error(documents: Documents) -> None:
    documents.edit("d", "b", lambda document: document.update(n=5))
    assert list(documents.of("d"))[1] == {"id": "b", "n": 5}
    with pytest.raises(KeyError, match="no document z"):
        documents.edit("d", "z", lambda document: None)
    documents.edit("d", "a", lambda document: document.update(n=3))


def test_some_or_all_documents_are_removed(documents: Documents) -> None:
    documents.remove("d", ["a", "c"])
    assert [document["id"] for document in documents.of("d")] == ["b"]
    documents.remove("d")
    assert not list(documents.of("d"))


@pytest.mark.parametrize(
    ("query", "score"),
    [
        ("cat", 3),
        ("CAT", 3),
        ("cat dog", 4),
        ("cat bird", 0),
        ("cat -dog", 0),
        ("-bird", 1),
        ('"a cat"', 1),
        ('"cat a"', 0),
        ("do*", 2),
        ("bird | dog", 1),
        ("cats", 0),
    ],
)
def test_words_phrases_prefixes_exclusion_and_alternatives(query: str, score: int) -> None:
    assert text_score(query, ["A cat, cat; dog.", "the cat does"]) == score


def test_documents_sort_by_mean_or_first_value_and_those_without_come_last(documents: Documents) -> None:
    found = list(documents.of("d"))
    assert [d["id"] for d in sort_documents(found, lambda d: leaves(d.get("n")))] == ["b", "a", "c"]
    assert [d["id"] for d in sort_documents(found, lambda d: leaves(d.get("n")), descending=True)] == ["a", "b", "c"]
    several = [{"id": "a", "n": [1, 5]}, {"id": "b", "n": [2]}]
    assert [d["id"] for d in sort_documents(several, lambda d: d["n"])] == ["b", "a"]


def test_a_seed_gives_an_order_of_its_own() -> None:
    found = [{"id": str(i)} for i in range(20)]
    assert shuffled(found, "x") == shuffled(found, "x") != shuffled(found, "y")


def test_terms_are_counted_once_a_document() -> None:
    counts = term_counts([{"t": ["a", "a", "b"]}, {"t": ["a"]}], lambda document: document["t"])
    assert dict(counts) == {"a": 2, "b": 1}


def test_leaves_are_the_values_in_nested_lists_and_mappings() -> None:
    assert leaves({"a": [1, {"b": "x"}], "c": None}) == [1, "x"]


def test_an_end_of_an_interval_may_be_open() -> None:
    assert within(2, 1, 2) and within(2, None, 3) and within(2, 2, None)
    assert not within(2, 3, None) and not within(2, None, 1)


def test_similarity_is_the_cosine_moved_to_the_unit_interval() -> None:
    assert similarity([1, 0], [2, 0]) == 1
    assert similarity([1, 0], [0, 3]) == 0.5
    assert similarity([1, 0], [-1, 0]) == 0
