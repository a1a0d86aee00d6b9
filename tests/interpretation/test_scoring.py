"""Scores of names: a judge that knows, one that guesses, and spans that were not shown."""

from __future__ import annotations

import json
import re

import datasets
import numpy as np
import pytest

from fac_datasets import (
    FeatureExtractor,
    LLMExplainer,
    TopTokensExplainer,
    explain,
    feature_table,
    score_explanations,
)
from fac_datasets.errors import FeatureSpaceMismatch
from fac_datasets.interpretation.scoring import _fuzzing, scoring_questions
from tests.interpretation.scripted import COFFEE, RAIN, Scripted, always, span, table_of


def knowing(right: bool) -> Scripted:
    """A judge that knows which excerpts are meant, or is always wrong."""

    def answer(prompt: str, _seed: int) -> str:
        excerpts = [json.loads(line.split(". ", 1)[1]) for line in prompt.split("JSON string:\n")[-1].split("\n")]
        marked = any("**" in text for text in excerpts)
        fires = [("**coffee" if marked else "coffee") in text for text in excerpts]
        return json.dumps({"active": [int(one == right) for one in fires]})

    return Scripted(answer)


def test_a_judge_that_knows_scores_one_and_one_that_errs_scores_zero() -> None:
    table = explain(table_of(COFFEE), TopTokensExplainer())
    for right, expected in ((True, 1.0), (False, 0.0)):
        generator = knowing(right)
        (row,) = score_explanations(table, generator=generator)
        for kind in ("detection", "fuzzing"):
            assert row[kind] == expected
            assert row[f"{kind}_low"] <= row[kind] <= row[f"{kind}_high"]
            assert 0 < row[f"{kind}_high"] - row[f"{kind}_low"] < 0.5
        assert generator.asked == 4


def test_a_judge_that_says_always_yes_scores_chance() -> None:
    table = explain(table_of(COFFEE), TopTokensExplainer())
    yes = Scripted(lambda prompt, _: json.dumps({"active": [1] * len(prompt.split("JSON string:\n")[-1].split("\n"))}))
    (row,) = score_explanations(table, generator=yes)
    assert (row["detection"], row["fuzzing"]) == (0.5, 0.5)


def test_answers_of_the_wrong_length_are_asked_for_again_and_score_nothing(caplog: pytest.LogCaptureFixture) -> None:
    judge = always({"active": [1]})
    (row,) = score_explanations(explain(table_of(COFFEE), TopTokensExplainer()), generator=judge)
    assert (row["detection"], row["detection_low"], row["fuzzing"]) == (None, None, None)
    assert judge.asked == 4 * 3
    assert "score by fuzzing: 2 of 2 questions have no answer that could be read, after 3 tries" in caplog.text


def test_the_place_of_a_mark_says_nothing_of_whether_it_is_right() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    rng = np.random.default_rng(0)
    texts = [" ".join([*rng.permutation(words)[: rng.integers(3, 8)], "coffee"]) for _ in range(4_000)]
    before: dict[bool, list[int]] = {True: [], False: []}
    for begin in range(0, len(texts), 40):
        row = {"held_out_spans": [span(text, "coffee") for text in texts[begin : begin + 40]]}
        for right, shown in zip((True, False), _fuzzing(row, rng), strict=True):
            assert shown and all(text.endswith("**") for text in shown)
            before[right] += [len(text.split()) for text in shown]
    assert np.mean(before[True]) == pytest.approx(np.mean(before[False]), abs=0.2)


def test_no_mark_tells_by_its_cut_off_word_that_it_is_right(tiny_extractor: FeatureExtractor) -> None:
    # A byte of "naïve" or of a Chinese character is a token of the tiny backbone, and often a peak.
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["naïve", "coffee", "quiet", "rain", "Madrid"], size=8)) for _ in range(60)]
    table = feature_table(datasets.Dataset.from_dict({"text": texts}).map(tiny_extractor, batched=True))
    words = {"naïve", "coffee", "quiet", "rain", "Madrid"}
    held_out = [one for row in table for one in row["held_out_spans"]]
    assert any(one["cut"] for one in held_out)
    assert all(one["cut"] == (one["text"].split()[-1] not in words) for one in held_out if one["text"].strip())
    for row in table:
        for shown in _fuzzing(row, rng):
            assert all(text.rstrip("*").rpartition("**")[2] in words for text in shown)


def test_a_peak_within_a_word_is_marked_as_the_word() -> None:
    row = {"held_out_spans": [span(f"can you write a palind{i}", f"ind{i}") for i in range(10)]}
    right, wrong = _fuzzing(row, np.random.default_rng(0))
    assert all(re.search(r"\*\*palind\d\*\*$", text) for text in right)
    assert all(re.search(r"\*\*(you|write|a)\*\*$", text) for text in wrong)


@pytest.mark.parametrize("answer", ["[" * 2_000, '{"reason": "r", "name": "half \\ud83d"}', "{" * 5_000])
def test_an_answer_that_cannot_be_is_unreadable_and_stops_nothing(answer: str) -> None:
    table = explain(table_of(COFFEE), LLMExplainer(Scripted(lambda _prompt, _seed: answer)))
    assert table["fits"] == ["unparsable"]


def test_questions_are_balanced_and_use_no_span_that_was_shown() -> None:
    table = explain(table_of(COFFEE), TopTokensExplainer())
    shown = {one["text"] for one in COFFEE}
    for kind in ("detection", "fuzzing"):
        asked = scoring_questions(table["explanation"], table, kind, 0)
        assert sum(sum(question.right) for question in asked) == (10 if kind == "detection" else 6)
        for question in asked:
            assert not any(text in question.request.messages[1][1] for text in shown)
        other = scoring_questions(table["explanation"], table, kind, 1)
        assert [q.request for q in other] != [q.request for q in asked]
        assert scoring_questions(table["explanation"], table, kind, 0) == asked


def test_words_of_a_name_that_stand_in_the_spans_rank_them() -> None:
    table = explain(table_of(COFFEE, RAIN, []), TopTokensExplainer())
    scored = score_explanations(table)
    assert scored["auroc"][0] == 1.0
    assert scored["auroc"][2] is None
    blind = table.remove_columns("explanation").add_column("explanation", ["stones", "nothing of the kind", None])
    assert score_explanations(blind)["auroc"][0] == 0.0
    assert score_explanations(blind)["auroc"][1] == 0.5
    assert len(scored.filter(lambda row: row["auroc"] is not None and row["auroc"] > 0.7)) == 2


def test_held_out_rows_give_the_spans_to_score_on(tiny_backbone: str, tiny_sae: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    words = ["coffee", "tea", "rain", "Madrid", "percent", "dogs", "quiet"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, size=6)) for _ in range(80)]
    rows = datasets.Dataset.from_dict({"text": texts}).map(extractor, batched=True)
    table = explain(feature_table(rows.select(range(40))), TopTokensExplainer())
    within = score_explanations(table)
    beyond = score_explanations(table, rows.select(range(40, 80)))
    assert within["auroc"] != beyond["auroc"]
    found = [value for value in beyond["auroc"] if value is not None]
    assert found and np.mean(found) > 0.5
    raw = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, render="raw")
    other = datasets.Dataset.from_dict({"text": texts}).map(raw, batched=True)
    with pytest.raises(FeatureSpaceMismatch):
        score_explanations(table, other)
