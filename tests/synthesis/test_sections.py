"""Sections are found in what generators make of the headers that they are shown."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.sections import as_sections, object_in, sections_in, sections_of_object, spells_header

HEADERS = {"prompt": ["Prompt", "User"], "response": ["Response", "Response text"]}
BOTH = [("prompt", "Hi."), ("response", "Hello.")]


@pytest.mark.parametrize(
    "answer",
    [
        "Prompt:\nHi.\n\nResponse:\nHello.",
        "prompt: Hi.\nRESPONSE: Hello.",
        "**Prompt:** Hi.\n**Response**: Hello.",
        "__Prompt:__ Hi.\n__Response__: Hello.",
        "# Prompt\nHi.\n## **Response**:\nHello.",
        "Prompt 1:\nHi.\nResponse #1:\nHello.",
        "Chatter.\nPrompt: Hi.\nResponse: Hello.",
    ],
)
def test_headers_are_found_however_they_are_written(answer: str) -> None:
    assert sections_in(answer, HEADERS) == BOTH


def test_other_headers_count_only_where_those_that_were_shown_are_missing() -> None:
    assert sections_in("User: Hi.\nResponse: Hello.", HEADERS) == BOTH
    found = sections_in("Prompt: Hi.\nUser: me\nResponse: Hello.", HEADERS)
    assert found == [("prompt", "Hi.\nUser: me"), ("response", "Hello.")]


def test_the_longest_header_counts() -> None:
    headers = {"prompt": ["Prompt"], "response": ["Response"], "text": ["Response text"]}
    assert sections_in("Prompt: Hi.\nResponse text: Hello.", headers)[1] == ("text", "Hello.")


@pytest.mark.parametrize("text", ["Prompt: x", "see\n  response: y", "### Prompt", "**Response**:"])
def test_what_would_be_read_as_a_header_is_known(text: str) -> None:
    assert spells_header(text, HEADERS)


@pytest.mark.parametrize("text", ["My prompt: x", "prompt", "Responses: y", "# Prompting", "prompt://x", "User: me"])
def test_other_lines_are_no_headers(text: str) -> None:
    assert not spells_header(text, HEADERS)


def test_another_sample_behind_the_first_is_left_out() -> None:
    assert sections_in("Prompt: Hi.\nResponse: Hello.\nPrompt: Ho.\nResponse: No.", HEADERS) == BOTH
    assert len(sections_in("Prompt: Hi.\nResponse: Hello.\nPrompt 2: Ho.\nResponse 2: No.", HEADERS)) == 4


def test_parts_that_come_again_are_numbered() -> None:
    assert as_sections({"prompt": "Hi.", "response": "Yes?", "prompt_2": "Ho."}, HEADERS).count("Prompt") == 2
    assert "Prompt 2:\nHo." in as_sections({"prompt_2": "Ho."}, HEADERS)


def test_an_object_may_name_parts_by_header_and_number() -> None:
    assert sections_of_object({"Prompt": "Hi.", "response_1": "Hello.", "id": "7"}, HEADERS) == BOTH
    assert object_in('{"prompt": "a\nb"}') == {"prompt": "a\nb"}
    assert object_in("[1]") is None and object_in('{"prompt": ') is None
