"""An answer counts for the text that it was given to, whenever a push is at work and wherever it is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import datasets
import pytest

from fac_datasets import review
from tests.review.meanwhile import READ, WRITE, meanwhile
from tests.servers.argilla.fixtures import Annotator, feature, records_of, table_of

if TYPE_CHECKING:
    import argilla

pytestmark = pytest.mark.slow

People = tuple[Annotator, ...]

DRINKS, STONES = table_of(feature(1, "drinks")), table_of(feature(1, "stones"))
OTHER_SPANS = table_of(feature(1, "drinks", spans=feature(1)["spans"][::-1]))
GIVEN = {"fits": "no", "corrected": "hot drinks", "misfits": ["2"], "comment": "see the second"}


def state(client: argilla.Argilla, name: str, table: datasets.Dataset, who: str = "ada") -> tuple[str, bool] | None:
    """Status of a person's answer as it is pulled, and whether it is outdated."""
    reviews = review.pull_explanations(table, name, client=client)[0]["reviews"]
    return next(((each["status"], each["outdated"]) for each in reviews if each["reviewer"] == who), None)


def status(client: argilla.Argilla, name: str) -> str:
    """Status of the only response, on the server."""
    (response,) = records_of(client, name)["1"]["responses"]
    return str(response["status"])


@pytest.fixture
def record(client: argilla.Argilla, name: str) -> str:
    """A record about drinks."""
    review.push_explanations(DRINKS, name, client=client)
    return str(records_of(client, name)["1"]["id"])


MOMENTS: dict[str, Callable[[argilla.Argilla, Callable[[], Any]], Any]] = {
    "before the push reads": lambda client, event: meanwhile(client, READ, event),
    "when it has read": lambda client, event: meanwhile(client, READ, event, after=True),
    "before it sends": lambda client, event: meanwhile(client, WRITE, event),
    "when the text has just changed": lambda client, event: meanwhile(client, WRITE, event, after=True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_answer_to_the_earlier_name_is_asked_again(
    client: argilla.Argilla, annotators: People, name: str, record: str, moment: str
) -> None:
    ada, bob, _ = annotators
    bob.answer(record, fits="yes")

    def answer() -> None:
        """Ada for the first time, Bob another time."""
        for who in (ada, bob):
            who.answer(record, **GIVEN)

    with MOMENTS[moment](client, answer):
        report = review.push_explanations(STONES, name, client=client)
    assert (report.updated, report.outdated) == (1, 2)
    # Nor does another push make them count; what is submitted then does.
    for pushed in (report, review.push_explanations(STONES, name, client=client)):
        assert pushed.added == 0
        assert [state(client, name, STONES, who) for who in ("ada", "bob")] == [("draft", True)] * 2
    assert ada.queue(client.datasets(name), "draft") == ["1"]
    for response in records_of(client, name)["1"]["responses"]:
        assert {question: each["value"] for question, each in response["values"].items()} == GIVEN
    ada.answer(record, **GIVEN)
    assert state(client, name, STONES) == ("submitted", False)


@pytest.mark.parametrize("status", ["draft", "discarded"])
def test_a_draft_and_a_discarded_record_of_the_earlier_name_stay_what_they_are(
    client: argilla.Argilla, annotators: People, name: str, record: str, status: str
) -> None:
    with meanwhile(client, WRITE, lambda: annotators[0].answer(record, status, fits="yes")):
        review.push_explanations(STONES, name, client=client)
    assert state(client, name, STONES) == (status, True)


@pytest.mark.parametrize("request_", ["PUT .*/responses/.*", "GET .*/records/.*"], ids=["asks others", "looks at them"])
def test_an_answer_to_the_new_name_counts_while_the_push_still_asks_others_again(
    client: argilla.Argilla, annotators: People, name: str, record: str, request_: str
) -> None:
    ada, bob, _ = annotators
    ada.answer(record, fits="yes")
    with meanwhile(client, request_, lambda: bob.answer(record, fits="no")):
        review.push_explanations(STONES, name, client=client)
    assert state(client, name, STONES, "ada") == ("draft", True)
    assert state(client, name, STONES, "bob") == ("submitted", False)


def test_an_answer_that_replaces_the_earlier_one_before_it_is_asked_again_counts(
    client: argilla.Argilla, annotators: People, name: str, record: str
) -> None:
    ada = annotators[0]
    ada.answer(record, fits="yes")
    with meanwhile(client, "GET .*/records/[^/]+", lambda: ada.answer(record, **GIVEN)):
        review.push_explanations(STONES, name, client=client)
    assert state(client, name, STONES) == ("submitted", False)


def test_an_answer_after_the_push_counts(client: argilla.Argilla, annotators: People, name: str, record: str) -> None:
    review.push_explanations(STONES, name, client=client)
    annotators[0].answer(record, **GIVEN)
    assert state(client, name, STONES) == ("submitted", False)
    assert review.push_explanations(STONES, name, client=client).unchanged == 1
    assert state(client, name, STONES) == ("submitted", False)


def test_answers_that_are_on_their_way_while_records_are_sent_are_asked_again(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    numbers = range(32)
    review.push_explanations(table_of(*(feature(number) for number in numbers)), name, client=client)
    ids = {number: record["id"] for number, record in records_of(client, name).items()}
    answering = [
        threading.Thread(target=who.answer, args=(ids[number],), kwargs={"fits": "yes"})
        for who, number in zip(annotators, ("0", "15", "31"), strict=True)
    ]
    renamed = table_of(*(feature(number, "stones") for number in numbers))

    def start() -> None:
        for each in answering:
            each.start()

    with meanwhile(client, WRITE, start):
        review.push_explanations(renamed, name, client=client)
    for each in answering:
        each.join()
    reviews = review.pull_explanations(renamed, name, client=client)["reviews"]
    found = [(each["status"], each["outdated"]) for of_feature in reviews for each in of_feature]
    assert found == [("draft", True)] * 3


def test_what_changes_beside_the_name_leaves_answers_in_between_alone(
    client: argilla.Argilla, annotators: People, name: str, record: str
) -> None:
    with meanwhile(client, WRITE, lambda: annotators[0].answer(record, **GIVEN)):
        report = review.push_explanations(table_of(feature(1, "drinks", detection=0.5)), name, client=client)
    assert (report.updated, report.outdated) == (1, 0)
    assert state(client, name, DRINKS) == ("submitted", False)


def test_answers_to_a_samples_earlier_text_are_asked_again(
    client: argilla.Argilla, annotators: People, name: str, synthetic: datasets.Dataset
) -> None:
    keep = {"shows_concept": "yes", "natural": "yes", "keep": "keep"}
    review.push_samples(synthetic, name, client=client)
    record = records_of(client, name)[synthetic[0]["synthetic_id"]]["id"]
    rewritten = datasets.Dataset.from_list(
        [synthetic[0] | {"text": "another"}, *synthetic.select([1, 2])], features=synthetic.features
    )
    with meanwhile(client, WRITE, lambda: annotators[0].answer(record, **keep)):
        review.push_samples(rewritten, name, client=client)
    reviewed = review.pull_samples(rewritten, name, client=client)
    (answer,) = reviewed[0]["reviews"]
    assert (answer["status"], answer["outdated"], reviewed[0]["accepted"]) == ("draft", True, None)


# --- a push that is killed -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def kill() -> None:
    raise Killed


@pytest.mark.parametrize(
    ("request_", "number", "after"),
    [
        (WRITE, 1, True),
        (WRITE, 2, False),
        (WRITE, 2, True),
        ("PUT .*/responses/.*", 1, True),
    ],
)
def test_wherever_a_push_is_killed_no_answer_counts_for_another_name(
    client: argilla.Argilla, annotators: People, name: str, record: str, request_: str, number: int, after: bool
) -> None:
    ada, bob, _ = annotators
    ada.answer(record, fits="yes")
    answering = meanwhile(client, READ, lambda: bob.answer(record, **GIVEN), after=True)
    with answering, pytest.raises(Killed), meanwhile(client, request_, kill, number=number, after=after):
        review.push_explanations(STONES, name, client=client)
    for _ in range(2):
        for who in ("ada", "bob"):
            found = state(client, name, STONES, who)
            assert found is not None and found[1], f"{who}'s answer counts for another name"
        review.push_explanations(STONES, name, client=client)
    assert [state(client, name, STONES, who) for who in ("ada", "bob")] == [("draft", True)] * 2


# --- a name that is back ---------------------------------------------------------------------------------------------


def test_answers_to_a_name_count_again_when_it_is_back(
    client: argilla.Argilla, annotators: People, name: str, record: str
) -> None:
    ada, bob, cyd = annotators
    ada.answer(record, fits="yes")
    bob.answer(record, "draft", fits="no")
    cyd.answer(record, "discarded")
    review.push_explanations(STONES, name, client=client)
    # The table may have its name back before it is pushed.
    expected = {"ada": ("submitted", False), "bob": ("draft", False), "cyd": ("discarded", False)}
    assert {who: state(client, name, DRINKS, who) for who in expected} == expected
    report = review.push_explanations(DRINKS, name, client=client)
    assert (report.updated, report.outdated, report.restored) == (1, 0, 1)
    assert "1 responses to what is there again count again" in str(report)
    assert {who: state(client, name, DRINKS, who) for who in expected} == expected
    assert review.pull_explanations(DRINKS, name, client=client)["review_fits"] == ["yes"]
    assert client.datasets(name).progress()["completed"] == 1
    assert review.push_explanations(DRINKS, name, client=client) == review.PushReport(unchanged=1)


def test_names_may_come_and_go(client: argilla.Argilla, annotators: People, name: str, record: str) -> None:
    ada, bob, _ = annotators
    ada.answer(record, fits="yes")
    review.push_explanations(STONES, name, client=client)
    bob.answer(record, fits="no")
    for table, counting, asked in ((DRINKS, "ada", "bob"), (STONES, "bob", "ada")) * 2:
        review.push_explanations(table, name, client=client)
        assert state(client, name, table, counting) == ("submitted", False)
        assert state(client, name, table, asked) == ("draft", True)


@pytest.mark.parametrize("status", ["submitted", "draft", "discarded"])
def test_what_was_changed_meanwhile_is_no_answer_to_the_name_that_is_back(
    client: argilla.Argilla, annotators: People, name: str, record: str, status: str
) -> None:
    ada = annotators[0]
    ada.answer(record, fits="yes")
    review.push_explanations(STONES, name, client=client)
    ada.answer(record, status, **GIVEN)
    assert review.push_explanations(DRINKS, name, client=client).restored == 0
    assert state(client, name, DRINKS) == ("discarded" if status == "discarded" else "draft", True)


def test_answers_do_not_count_again_when_the_spans_have_changed(
    client: argilla.Argilla, annotators: People, name: str, record: str
) -> None:
    annotators[0].answer(record, fits="yes", misfits=["2"])
    review.push_explanations(STONES, name, client=client)
    assert review.push_explanations(OTHER_SPANS, name, client=client).restored == 0
    assert state(client, name, OTHER_SPANS) == ("draft", True)


def test_whoever_takes_an_answer_back_has_taken_it_back(
    client: argilla.Argilla, annotators: People, name: str, record: str
) -> None:
    ada = annotators[0]
    ada.answer(record, fits="yes")
    for table in (STONES, DRINKS, table_of(feature(1, "drinks", detection=0.5))):
        review.push_explanations(table, name, client=client)
    ada.answer(record, "draft", fits="yes")
    for table in (DRINKS, DRINKS):
        assert state(client, name, table) == ("draft", False)
        review.push_explanations(table, name, client=client)
    assert status(client, name) == "draft"


@pytest.mark.parametrize("after", [False, True])
def test_a_push_that_is_killed_before_it_restores_does_so_the_next_time(
    client: argilla.Argilla, annotators: People, name: str, record: str, after: bool
) -> None:
    annotators[0].answer(record, fits="yes")
    review.push_explanations(STONES, name, client=client)
    with pytest.raises(Killed), meanwhile(client, "PUT .*/responses/.*", kill, after=after):
        review.push_explanations(DRINKS, name, client=client)
    assert state(client, name, DRINKS) == ("submitted", False)
    review.push_explanations(DRINKS, name, client=client)
    assert (status(client, name), state(client, name, DRINKS)) == ("submitted", ("submitted", False))
