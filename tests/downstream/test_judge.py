"""Judges of pairs: both orders, answers that are none, and judges that do not count."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from fac_datasets.downstream.judge import Pair, coin_p, judge_pairs, judged_win_rate, known_pairs
from fac_datasets.errors import ColumnError, DatasetError, GenerationError, LimitReached
from fac_datasets.generation import Journal, Limits
from fac_datasets.generation.endpoint import EndpointGenerator
from fac_datasets.interpretation.questions import REFUSED
from tests.interpretation.scripted import Scripted
from tests.servers.chat_server import FaultyProxy, completion, refusal
from tests.servers.chat_server import odd_server as odd_server

_ANSWERS = re.compile(r"^Answer ([AB]), a JSON string: (.*)$", re.MULTILINE)
KNOWN = [Pair(f"Question {i}?", "short", f"a longer answer to {i}") for i in range(10)]


def a_judge(prefers: Callable[[str, str], str]) -> Scripted:
    """Names A or B by both answers."""

    def answer(prompt: str, _seed: int) -> str:
        sides = {side: json.loads(text) for side, text in _ANSWERS.findall(prompt)}
        return json.dumps({"better": prefers(sides["A"], sides["B"])})

    return Scripted(answer)


LONGER = a_judge(lambda a, b: "A" if len(a) > len(b) else "B")
SHORTER = a_judge(lambda a, b: "A" if len(a) < len(b) else "B")
ALWAYS_A = a_judge(lambda _a, _b: "A")


def test_a_preference_needs_both_orders() -> None:
    judged = judge_pairs([Pair("?", "one", "three"), Pair("?", "three", "one")], LONGER)
    assert [*judged.preferences] == [1, 0]
    assert (judged.judged, judged.consistent, judged.for_model) == (2, 2, 1)


def test_a_judge_that_likes_the_first_answer_prefers_nobody() -> None:
    judged = judge_pairs(KNOWN, ALWAYS_A)
    assert [*judged.preferences] == [0.5] * 10
    assert judged.consistent == 0


def test_a_judge_that_tells_strong_from_weak_counts() -> None:
    found = judged_win_rate([Pair("?", "one", "three"), Pair("?", "three", "one")], KNOWN, LONGER).to_dict()
    assert found["verdict"] == "counts"
    assert found["win_rate"]["raw"] == 50
    assert found["known_pairs"]["consistency_p"] == found["known_pairs"]["agreement_p"] == 1 / 1024


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (ALWAYS_A, "both orders agree in 0 of 10 known pairs"),
        (SHORTER, "preferred in 0 of 10 known pairs that are judged alike"),
    ],
    ids=["inconsistent", "wrong"],
)
def test_a_judge_that_does_not_beat_chance_is_uninformative(judge: Scripted, why: str) -> None:
    found = judged_win_rate(KNOWN, KNOWN, judge)
    assert found.to_dict()["verdict"] == "uninformative"
    assert why in found.why_not


def test_too_few_known_pairs_show_nothing() -> None:
    assert judged_win_rate(KNOWN, KNOWN[:4], LONGER).why_not.startswith("both orders agree in 4 of 4")
    assert judged_win_rate(KNOWN, KNOWN[:5], LONGER).why_not == ""


def test_without_known_pairs_a_rate_is_uninformative() -> None:
    assert "no known pairs" in judged_win_rate(KNOWN, [], LONGER).why_not


def test_the_test_is_the_exact_binomial_one() -> None:
    from scipy.stats import binomtest

    assert coin_p(14, 20) == pytest.approx(binomtest(14, 20, alternative="greater").pvalue)


def test_answers_that_are_neither_are_counted_and_their_pair_left_out(caplog: pytest.LogCaptureFixture) -> None:
    judge = a_judge(lambda a, b: "both" if "none" in a + b else "A" if len(a) > len(b) else "B")
    judged = judge_pairs([Pair("?", "none", "three"), Pair("?", "one", "three")], judge)
    assert math.isnan(judged.preferences[0])
    assert judged.preferences[1] == 1
    assert judged.without_answer == {"neither A nor B": 2}
    assert "2 of 4 questions to scripted have an answer that is neither A nor B" in caplog.text


def test_a_judge_that_never_answers_gives_no_rate() -> None:
    found = judged_win_rate(KNOWN, KNOWN, Scripted(lambda _prompt, _seed: "I like both."))
    assert found.rate is None
    assert found.why_not == "no pair has an answer in both orders"


def test_what_a_server_refuses_is_counted(odd_server: FaultyProxy) -> None:
    def reply(request: dict[str, object]) -> tuple[int, bytes]:
        return (400, refusal("no")) if "rude" in json.dumps(request) else (200, completion('{"better": "A"}'))

    odd_server.reply = reply
    judged = judge_pairs([*KNOWN[:4], Pair("?", "rude", "three")], EndpointGenerator("m", base_url=odd_server.address))
    assert judged.without_answer == {REFUSED: 2}
    assert judged.judged == 4


def test_a_judge_that_cannot_be_reached_is_an_error() -> None:
    from tests.servers.ports import free_port

    judge = EndpointGenerator("m", base_url=f"http://127.0.0.1:{free_port()}/v1", retries=0)
    with pytest.raises(GenerationError):
        judge_pairs(KNOWN, judge)


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    judge = a_judge(lambda a, b: "A" if len(a) > len(b) else "B")
    with pytest.raises(LimitReached):
        limited = Journal(tmp_path / "judge.jsonl", Limits(max_calls=7))
        try:
            judge_pairs(KNOWN, judge, limited)
        finally:
            limited.close()
    assert judge.asked == 7
    judged = judge_pairs(KNOWN, judge, tmp_path / "judge.jsonl")
    assert judge.asked == 20
    assert [*judged.preferences] == [1] * 10


def test_pairs_beyond_a_limit_are_counted_where_the_journal_takes_part() -> None:
    judged = judge_pairs(KNOWN, LONGER, Journal(limits=Limits(max_calls=6), takes_part=True))
    assert judged.judged == 3
    assert judged.without_answer == {"not asked": 14}


def test_no_pairs_cannot_be_judged() -> None:
    with pytest.raises(DatasetError, match="no pairs to judge"):
        judged_win_rate([], KNOWN, LONGER)


def test_known_pairs_hold_the_strong_answer_against_the_weak_one() -> None:
    rows = datasets.Dataset.from_dict(
        {"instruction": ["?", "?", "?"], "good": ["three", "one", None], "bad": ["one", "one", "one"]}
    )
    assert known_pairs(rows, "good", "bad") == [Pair("?", "one", "three")]
    with pytest.raises(ColumnError, match=r"no column 'best'; .*'good', 'bad'\]; .*--strong.*--weak"):
        known_pairs(rows, "best", "bad")
    with pytest.raises(DatasetError, match="none of 2 rows"):
        known_pairs(rows.select([1, 2]), "good", "bad")


def test_as_many_known_pairs_as_wanted_are_drawn_and_always_the_same() -> None:
    rows = datasets.Dataset.from_dict({"instruction": ["?"] * 9, "good": [*"abcdefghi"], "bad": ["z"] * 9})
    drawn = known_pairs(rows, "good", "bad", most=4)
    assert len({*drawn}) == 4
    assert drawn == known_pairs(rows, "good", "bad", most=4)
