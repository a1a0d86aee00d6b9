"""Features go to the server, people answer, and their answers come back: none lost, none twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fac_datasets import relevant_features, review
from fac_datasets.errors import ColumnError, OptionError, ReviewError
from fac_datasets.interpretation.relevance import Guideline
from fac_datasets.review.records import ReviewDataset
from tests.repository import REPOSITORY
from tests.servers.argilla.fixtures import SPACE, Annotator, feature, person, records_of, table_of, wait_for
from tests.servers.argilla.server import API_KEY, ArgillaServer

if TYPE_CHECKING:
    import argilla

pytestmark = pytest.mark.slow

People = tuple[Annotator, ...]


def answers(reviewed: Any, place: int) -> dict[str, dict[str, Any]]:
    return {each["reviewer"]: each for each in reviewed[place]["reviews"]}


# --- what is pushed --------------------------------------------------------------------------------------------------


def test_a_record_shows_spans_contrast_numbers_and_the_name(client: argilla.Argilla, name: str) -> None:
    report = review.push_explanations(table_of(feature(7)), name, client=client, guideline="toxicity")
    assert (report.added, report.updated, report.unchanged) == (1, 0, 0)
    record = records_of(client, name)["7"]
    assert "a cup of coffee 7 or of <mark><b>tea</b></mark> &nbsp;(9.00)" in record["fields"]["spans"]
    assert "a heap of stones" in record["fields"]["silent_spans"]
    assert "8 % of the rows" in record["fields"]["numbers"] and "0.75" in record["fields"]["numbers"]
    assert record["fields"]["explanation"] == "<p><b>drinks</b></p>"
    assert list(record["fields"])[:2] == ["explanation", "numbers"]
    settings = client.datasets(name).settings
    assert [question.name for question in settings.questions] == ["fits", "corrected", "relevant", "misfits", "comment"]
    task = Guideline.load("toxicity")
    assert task.text in settings.guidelines
    assert settings.questions["relevant"].description[:900] == task.text[:900]


def test_verdicts_of_models_are_suggestions_with_agent_and_score(client: argilla.Argilla, name: str) -> None:
    table = table_of(feature(1), feature(2, None), feature(3, fits="no"))
    review.push_explanations(table, name, client=client, guideline="toxicity")
    records, questions = records_of(client, name), client.datasets(name).settings.questions

    def suggested(number: str) -> set[tuple[str, str, str, float | None]]:
        suggestions = records[number]["suggestions"]
        return {(str(s["question_id"]), s["value"], s["agent"], s["score"]) for s in suggestions}

    fits, relevant = (str(questions[question].id) for question in ("fits", "relevant"))
    assert suggested("1") == {
        (fits, "probably", "a model that checks", 0.75),
        (relevant, "maybe", "a model that judges", None),
    }
    assert suggested("2") == {(fits, "cannot tell", "a model that names", None)}
    # How well a name tells texts apart is no score of a verdict that it does not fit.
    assert (fits, "no", "a model that checks", None) in suggested("3")


def test_a_verdict_on_another_task_is_no_suggestion(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1, fits=None)), name, client=client, guideline="sycophancy")
    assert records_of(client, name)["1"]["suggestions"] == []


def test_without_a_task_relevance_is_not_asked(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    assert "relevant" not in [question.name for question in client.datasets(name).settings.questions]


def test_reviewers_filter_by_rate_score_task_and_by_what_is_missing(
    client: argilla.Argilla, name: str, coverage_report: Any
) -> None:
    import argilla

    table = table_of(*(feature(number, detection=number / 10) for number in range(4)))
    review.push_explanations(table, name, client=client, guideline="toxicity", report=coverage_report)
    dataset = client.datasets(name)

    def found(*conditions: tuple[str, str, Any]) -> list[str]:
        records = dataset.records(argilla.Query(filter=argilla.Filter(list(conditions))))
        return sorted(record.id.rpartition("-")[2] for record in records)

    assert found(("metadata.state", "==", "missing")) == ["1", "3"]
    assert found(("metadata.state", "==", "covered")) == ["0"]
    assert found(("metadata.detection", ">=", 0.2)) == ["2", "3"]
    assert found(("metadata.firing_rate", "<=", 0.02), ("metadata.task", "==", "Toxicity")) == ["0", "1"]


# --- what comes back -------------------------------------------------------------------------------------------------


def test_answers_of_three_people_come_back_with_consensus_and_agreement(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    table = table_of(*(feature(number) for number in range(4)))
    review.push_explanations(table, name, client=client, guideline="toxicity", min_submitted=3)
    records = records_of(client, name)
    given = {
        # feature: what Ada, Bob and Cyd answer to (fits, relevant)
        "0": [("yes", "yes"), ("yes", "probably"), ("probably", "yes")],
        "1": [("no", "no"), ("no", "no"), ("yes", "no")],
        "2": [("maybe", "yes"), ("probably", "yes"), ("no", "yes")],
    }
    for number, of_feature in given.items():
        for who, (fits, relevant) in zip(annotators, of_feature, strict=True):
            extra = {"corrected": " warm  drinks", "misfits": ["2"]} if (number, fits) == ("1", "no") else {}
            who.answer(records[number]["id"], fits=fits, relevant=relevant, **extra)
    annotators[0].answer(records["3"]["id"], "draft", fits="yes")
    annotators[1].answer(records["3"]["id"], "discarded")

    reviewed = review.pull_explanations(table, name, client=client)
    assert reviewed["review_fits"] == ["yes", "no", None, None]
    assert reviewed["review_relevant"] == ["yes", "no", "yes", None]
    assert reviewed["review_explanation"] == [None, "warm drinks", None, None]
    assert reviewed["evidence"] == [["review"], [], [], []]
    assert relevant_features(reviewed).tolist() == [0]
    assert answers(reviewed, 1)["ada"]["misfits"] == [2]
    assert {who: each["status"] for who, each in answers(reviewed, 3).items()} == {"ada": "draft", "bob": "discarded"}

    found = review.summary(reviewed)
    assert (found.records, found.reviewed, found.submitted, found.drafts, found.discarded) == (4, 3, 9, 1, 1)
    assert found.agreement["fits"].overlaps == 3 and found.agreement["fits"].answers == 9
    # Of nine answers three are no, one probably and five yes. The squared ordinal distances are 9 between probably and
    # yes, 4 between no and probably, 25 between no and yes: observed (4 * 9 / 2) / 9 = 2, expected
    # 2 * (3 * 1 * 4 + 3 * 5 * 25 + 1 * 5 * 9) / (9 * 8) = 12.
    assert found.agreement["relevant"].alpha == pytest.approx(1 - 2 / 12)
    # Of 18 marks two are set, both on the same span: observed (2 * 2 / 2) / 18, expected 2 * 2 * 16 / (18 * 17).
    assert found.agreement["misfits"].overlaps == 6
    assert found.agreement["misfits"].alpha == pytest.approx(1 - (2 / 18) / (64 / 306))
    completed = client.datasets(name).progress()["completed"]
    assert completed == 3

    by_median = review.pull_explanations(table, name, client=client, consensus="median")
    assert by_median["review_fits"] == ["yes", "no", "maybe", None]
    unanimous = review.pull_explanations(table, name, client=client, consensus="unanimous")
    assert unanimous["review_relevant"] == [None, "no", "yes", None]


# --- again, and after trouble ----------------------------------------------------------------------------------------


def test_pushing_again_sends_nothing_that_is_there_and_adds_what_is_new(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    table = table_of(feature(1), feature(2))
    review.push_explanations(table, name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="yes")
    again = review.push_explanations(table_of(feature(1), feature(2), feature(3)), name, client=client)
    assert (again.added, again.updated, again.unchanged, again.outdated) == (1, 0, 2, 0)
    assert set(records_of(client, name)) == {"1", "2", "3"}
    reviewed = review.pull_explanations(table, name, client=client)
    assert reviewed["review_fits"] == ["yes", None]


def test_metadata_that_a_team_added_stays(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    record = records_of(client, name)["1"]
    metadata = record["metadata"] | {"round": 2}
    client.http_client.patch(f"/api/v1/records/{record['id']}", json={"metadata": metadata}).raise_for_status()
    assert review.push_explanations(table_of(feature(1, detection=0.5)), name, client=client).updated == 1
    metadata = records_of(client, name)["1"]["metadata"]
    assert (metadata["round"], metadata["detection"]) == (2, 0.5)


def test_a_model_may_have_any_name(client: argilla.Argilla, name: str) -> None:
    table = table_of(feature(1, verifier="org/model@0a1b (écrit)"), feature(2, verifier="…"))
    review.push_explanations(table, name, client=client)
    agents = [record["suggestions"][0]["agent"] for _, record in sorted(records_of(client, name).items())]
    assert agents == ["org/model_0a1b __crit_", None]


def test_a_table_that_was_pulled_can_be_pushed_again(client: argilla.Argilla, annotators: People, name: str) -> None:
    table = table_of(feature(1))
    review.push_explanations(table, name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="no", corrected="milk")
    reviewed = review.pull_explanations(table, name, client=client)
    assert review.push_explanations(reviewed, name, client=client).unchanged == 1
    assert review.pull_explanations(reviewed, name, client=client).to_list() == reviewed.to_list()


def test_answers_about_an_earlier_name_are_kept_but_do_not_count(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    ada, bob, _ = annotators
    review.push_explanations(table_of(feature(1, "drinks")), name, client=client, min_submitted=2)
    record = records_of(client, name)["1"]["id"]
    ada.answer(record, fits="yes")
    renamed = table_of(feature(1, "stones", fits=None))
    assert review.push_explanations(renamed, name, client=client, min_submitted=2).outdated == 1
    assert records_of(client, name)["1"]["suggestions"] == [], "the verdict on the earlier name is gone"
    bob.answer(record, fits="no")
    reviewed = review.pull_explanations(renamed, name, client=client)
    assert {who: each["outdated"] for who, each in answers(reviewed, 0).items()} == {"ada": True, "bob": False}
    assert reviewed["review_fits"] == [None], "one of two"
    assert review.summary(reviewed).outdated == 1
    # Another push changes nothing of that, and an answer that is given anew counts, be it the same.
    assert review.push_explanations(renamed, name, client=client, min_submitted=2).unchanged == 1
    ada.answer(record, fits="yes")
    bob.answer(record, fits="yes")
    reviewed = review.pull_explanations(renamed, name, client=client)
    assert not any(each["outdated"] for each in answers(reviewed, 0).values())
    assert reviewed["review_fits"] == ["yes"]


GIVEN = {"fits": "no", "corrected": "hot drinks", "misfits": ["2"], "comment": "see the second"}


def test_whoever_answered_about_an_earlier_name_is_asked_again_with_the_answers_filled_in(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    ada, bob, cyd = annotators
    review.push_explanations(table_of(feature(1, "drinks")), name, client=client)
    record = records_of(client, name)["1"]["id"]
    ada.answer(record, **GIVEN)
    bob.answer(record, "discarded", comment="unpleasant")
    assert client.datasets(name).progress()["completed"] == 1
    review.push_explanations(table_of(feature(1, "stones")), name, client=client)
    assert client.datasets(name).progress()["completed"] == 0
    dataset = client.datasets(name)
    assert ada.queue(dataset, "draft") == ["1"] and cyd.queue(dataset, "pending") == ["1"]
    found = {
        response["status"]: {question: answer["value"] for question, answer in response["values"].items()}
        for response in records_of(client, name)["1"]["responses"]
    }
    assert found == {"draft": GIVEN, "discarded": {"comment": "unpleasant"}}


def test_a_push_that_is_killed_before_it_asks_again_does_so_the_next_time(
    client: argilla.Argilla, annotators: People, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.push_explanations(table_of(feature(1, "drinks")), name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], **GIVEN)
    renamed = table_of(feature(1, "stones"))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ReviewDataset, "_ask_again", killed)
        review.push_explanations(renamed, name, client=client)
    for status in ("submitted", "draft"):
        (answer,) = review.pull_explanations(renamed, name, client=client)[0]["reviews"]
        assert (answer["status"], answer["outdated"], answer["corrected"]) == (status, True, "hot drinks")
        review.push_explanations(renamed, name, client=client)


def test_what_is_answered_during_a_push_is_not_overwritten(
    client: argilla.Argilla, annotators: People, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.push_explanations(table_of(feature(1, "drinks")), name, client=client)
    record = records_of(client, name)["1"]["id"]
    annotators[0].answer(record, fits="yes")
    send = ReviewDataset._send

    def answered_meanwhile(*arguments: Any) -> int:
        annotators[0].answer(record, **GIVEN)
        return send(*arguments)

    monkeypatch.setattr(ReviewDataset, "_send", answered_meanwhile)
    review.push_explanations(table_of(feature(1, "stones")), name, client=client)
    (response,) = records_of(client, name)["1"]["responses"]
    assert response["values"]["corrected"]["value"] == "hot drinks"


def test_answers_about_other_spans_do_not_count(client: argilla.Argilla, annotators: People, name: str) -> None:
    table = table_of(feature(1))
    review.push_explanations(table, name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="yes", misfits=["2"])
    turned = table_of(feature(1, spans=feature(1)["spans"][::-1]))
    for _ in ("before it is pushed", "and after"):
        reviewed = review.pull_explanations(turned, name, client=client)
        assert (answers(reviewed, 0)["ada"]["outdated"], reviewed["review_fits"]) == (True, [None])
        review.push_explanations(turned, name, client=client)


def test_a_consensus_needs_as_many_answers_as_the_push_asked_for(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    table = table_of(feature(1))
    review.push_explanations(table, name, client=client, guideline="toxicity", min_submitted=2)
    record = records_of(client, name)["1"]["id"]
    for who, consensus in zip(annotators, (None, "yes"), strict=False):
        who.answer(record, fits="yes", relevant="yes")
        reviewed = review.pull_explanations(table, name, client=client)
        assert (reviewed["review_fits"], reviewed["review_relevant"]) == ([consensus], [consensus])
        assert reviewed["evidence"] == [["review"] if consensus else []]


def test_a_record_is_the_same_for_another_cut_off_and_new_for_another_layer(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    cut_off = table_of(feature(1, feature_space=SPACE.replace(">0", ">q50")))
    assert review.push_explanations(cut_off, name, client=client).unchanged == 1
    layer = table_of(feature(1, feature_space=SPACE.replace("layer1", "layer2")))
    assert review.push_explanations(layer, name, client=client).added == 1


def test_people_overrule_the_model_until_they_change_their_minds(
    client: argilla.Argilla, annotators: People, name: str
) -> None:
    table = table_of(feature(1, fits="yes", relevant="yes", evidence=["llm"]))
    review.push_explanations(table, name, client=client, guideline="toxicity")
    record = records_of(client, name)["1"]["id"]
    annotators[0].answer(record, fits="yes", relevant="no")
    reviewed = review.pull_explanations(table, name, client=client)
    assert reviewed["evidence"] == [[]]
    annotators[0].answer(record, fits="yes", relevant="yes")
    assert review.pull_explanations(reviewed, name, client=client)["evidence"] == [["llm", "review"]]


def test_the_server_is_restarted_between_push_and_pull(
    client: argilla.Argilla, annotators: People, name: str, server: ArgillaServer
) -> None:
    table = table_of(feature(1))
    review.push_explanations(table, name, client=client)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="maybe")
    server.stop()
    server.start()
    assert review.pull_explanations(table, name, client=client)["review_fits"] == ["maybe"]


def test_a_number_that_is_none_is_left_out(client: argilla.Argilla, name: str) -> None:
    table = table_of(feature(1, detection=float("nan")))
    review.push_explanations(table, name, client=client)
    record = records_of(client, name)["1"]
    assert "detection" not in record["metadata"] and record["suggestions"][0]["score"] is None


def test_a_server_killed_in_the_middle_of_a_push_comes_back_and_has_every_record_once(
    client: argilla.Argilla, name: str, server: ArgillaServer
) -> None:
    import argilla

    table = table_of(*(feature(number) for number in range(300)))
    pusher = argilla.Argilla(api_url=server.url, api_key=API_KEY, retries=0)
    reports: list[review.PushReport] = []
    push = threading.Thread(target=lambda: reports.append(review.push_explanations(table, name, client=pusher)))
    push.start()
    _wait_for_records(client, name)
    server.kill()
    server.start()
    push.join(timeout=120)
    assert reports and reports[0].added == 300
    assert set(records_of(client, name)) == {str(number) for number in range(300)}
    # The search may have missed what was stored when the server died; another push makes that good.
    review.push_explanations(table, name, client=client)
    assert len(list(client.datasets(name).records(argilla.Query(query="milk")))) == 300


def test_a_push_that_was_killed_goes_on_where_it_was(client: argilla.Argilla, name: str, server: ArgillaServer) -> None:
    code = (
        "from fac_datasets import review\n"
        "from tests.servers.argilla.fixtures import feature, table_of\n"
        f"review.push_explanations(table_of(*(feature(i) for i in range(300))), {name!r})\n"
    )
    environment = {"ARGILLA_API_URL": server.url, "ARGILLA_API_KEY": API_KEY, "PATH": "", "HF_HUB_OFFLINE": "1"}
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)
    _wait_for_records(client, name)
    killed.kill()
    killed.wait()
    report = review.push_explanations(table_of(*(feature(i) for i in range(300))), name, client=client)
    assert report.unchanged >= 32 and report.added + report.unchanged == 300
    assert len(records_of(client, name)) == 300


def test_a_dataset_left_half_made_by_a_killed_push_is_made_anew(client: argilla.Argilla, name: str) -> None:
    workspace = str(client.workspaces("argilla").id)
    client.http_client.post("/api/v1/datasets", json={"name": name, "workspace_id": workspace}).raise_for_status()
    assert review.push_explanations(table_of(feature(1)), name, client=client).added == 1


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"min_submitted": 2}, "its min_submitted are 1"),
        ({"guideline": "toxicity"}, "its questions are"),
    ],
)
def test_a_dataset_with_other_settings_is_not_touched(
    client: argilla.Argilla, name: str, options: dict[str, Any], told: str
) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client)
    with pytest.raises(ReviewError, match=told):
        review.push_explanations(table_of(feature(2)), name, client=client, **options)
    assert set(records_of(client, name)) == {"1"}


def other_task(name: str) -> Guideline:
    toxicity = Guideline.load("toxicity")
    return {
        "of another name": Guideline.load("sycophancy"),
        "in other words": Guideline(toxicity.name, toxicity.text + " Only in English."),
        "in fewer words": Guideline(toxicity.name, toxicity.text.rpartition(" ")[0]),
    }[name]


@pytest.mark.parametrize("task", ["of another name", "in other words", "in fewer words"])
def test_answers_to_one_task_never_count_for_another(client: argilla.Argilla, name: str, task: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client, guideline="toxicity")
    with pytest.raises(ReviewError, match=r"its guidelines do not end with '# The task: .* with the guideline of the"):
        review.push_explanations(table_of(feature(1)), name, client=client, guideline=other_task(task))
    assert records_of(client, name)["1"]["metadata"]["task"] == "Toxicity"


def test_a_team_may_change_what_stands_before_the_task(client: argilla.Argilla, name: str) -> None:
    review.push_explanations(table_of(feature(1)), name, client=client, guideline="toxicity")
    dataset = client.datasets(name)
    dataset.settings.guidelines = f"Ask Ada.\r\n{dataset.settings.guidelines}\n"
    dataset.settings.update()
    assert review.push_explanations(table_of(feature(1)), name, client=client, guideline="toxicity").unchanged == 1


@pytest.mark.parametrize("part", ["field", "guidelines"])
def test_an_unfinished_dataset_of_somebody_else_is_not_touched(client: argilla.Argilla, name: str, part: str) -> None:
    content = {"name": name, "workspace_id": str(client.workspaces("argilla").id)}
    if part == "guidelines":
        content["guidelines"] = "mine"
    path = "/api/v1/datasets"
    path += "/" + client.http_client.post(path, json=content).raise_for_status().json()["id"]
    if part == "field":
        field = {"name": "mine", "title": "Mine", "settings": {"type": "text", "use_markdown": False}}
        client.http_client.post(f"{path}/fields", json=field).raise_for_status()
    with pytest.raises(ReviewError, match="not published yet: somebody else is making it; push under another name"):
        review.push_explanations(table_of(feature(1)), name, client=client)
    assert client.http_client.get(path).is_success
    client.http_client.delete(path).raise_for_status()


def test_a_feature_that_is_there_twice_is_refused(client: argilla.Argilla, name: str) -> None:
    with pytest.raises(ColumnError, match=r"feature 1 is in more than one row, .*; keep one row of each"):
        review.push_explanations(table_of(feature(1), feature(2), feature(1)), name, client=client)
    assert client.datasets(name) is None


def test_one_of_several_workspaces_has_to_be_named(client: argilla.Argilla, name: str) -> None:
    import argilla

    second = argilla.Workspace(name="second", client=client).create()
    try:
        with pytest.raises(ReviewError, match=r"name one of the workspaces \['argilla', 'second'\]"):
            review.push_explanations(table_of(feature(1)), name, client=client)
        assert review.push_explanations(table_of(feature(1)), name, client=client, workspace="second").added == 1
        assert review.push_explanations(table_of(feature(1)), name, client=client, workspace="argilla").added == 1
        assert review.push_explanations(table_of(feature(1)), name, client=client, workspace="second").unchanged == 1
    finally:
        for dataset in second.datasets:
            dataset.delete()
        second.delete()


def test_the_workspaces_admin_pushes_and_pulls(
    server: ArgillaServer, client: argilla.Argilla, annotators: People, name: str
) -> None:
    import argilla

    key = person(server, "adm", "admin").api_key
    admin = argilla.Argilla(api_url=server.url, api_key=key, retries=0)
    review.push_explanations(table_of(feature(1)), name, client=admin)
    annotators[0].answer(records_of(client, name)["1"]["id"], fits="yes")
    renamed = table_of(feature(1, "stones"))
    review.push_explanations(renamed, name, client=admin)
    (answer,) = review.pull_explanations(renamed, name, client=admin)[0]["reviews"]
    assert (answer["reviewer"], answer["status"], answer["fits"]) == ("ada", "draft", "yes")


def test_a_dataset_of_another_review_is_not_touched(client: argilla.Argilla, name: str, synthetic: Any) -> None:
    review.push_samples(synthetic, name, client=client)
    with pytest.raises(ReviewError, match="is there already with other settings: its fields are"):
        review.push_explanations(table_of(feature(1)), name, client=client)


def test_workspace_and_dataset_have_to_exist(client: argilla.Argilla, name: str) -> None:
    with pytest.raises(ReviewError, match=r"there is no workspace 'nowhere' among \['argilla'\]"):
        review.push_explanations(table_of(feature(1)), name, client=client, workspace="nowhere")
    with pytest.raises(ReviewError, match=r"has no dataset .*; push it first"):
        review.pull_explanations(table_of(feature(1)), name, client=client)


def test_a_wrong_key_is_refused_and_never_shown(
    server: ArgillaServer, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", "a-wrong-key")
    with caplog.at_level("DEBUG"), pytest.raises(ReviewError, match="refuses the API key") as refused:
        review.push_explanations(table_of(feature(1)), name)
    assert "a-wrong-key" not in f"{refused.value}{refused.value.__cause__}{caplog.text}"


def test_an_annotators_key_may_not_push(server: ArgillaServer, annotators: People, name: str) -> None:
    import argilla

    ada = argilla.Argilla(api_url=server.url, api_key=annotators[0].api_key, retries=0)
    with pytest.raises(ReviewError, match="forbids this to the user of this key; push and pull with that of an owner"):
        review.push_explanations(table_of(feature(1)), name, client=ada)


def test_answers_to_features_that_the_table_lacks_are_told_of(
    client: argilla.Argilla, annotators: People, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    review.push_explanations(table_of(feature(1), feature(2)), name, client=client)
    annotators[0].answer(records_of(client, name)["2"]["id"], fits="yes")
    review.pull_explanations(table_of(feature(1)), name, client=client)
    assert "1 records of" in caplog.text and "are not among these rows" in caplog.text


def test_an_unknown_rule_of_consensus_is_refused(client: argilla.Argilla, name: str) -> None:
    with pytest.raises(OptionError, match="consensus='loudest' is none of"):
        review.pull_explanations(table_of(feature(1)), name, client=client, consensus="loudest")


def _wait_for_records(client: argilla.Argilla, name: str) -> None:
    def any_record() -> bool:
        found = [each for each in client.api.datasets.list() if each.name == name and each.status == "ready"]
        path = f"/api/v1/datasets/{found[0].id}/records" if found else ""
        return bool(found and client.http_client.get(path, params={"limit": 1}).json()["total"])

    wait_for(any_record)
