"""Names of features, by peak tokens or by a generator, and whether they fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import (
    LLMExplainer,
    TopTokensExplainer,
    explain,
    judge_relevance,
    score_explanations,
    verify_explanations,
)
from fac_datasets.errors import ColumnError, GenerationError
from fac_datasets.generation import Completion, Journal, Limits
from fac_datasets.interpretation.explainers.base import Explanation
from fac_datasets.interpretation.questions import UNPARSABLE
from fac_datasets.interpretation.scoring import _by_words
from tests.interpretation.scripted import COFFEE, RAIN, Scripted, always, span, table_of


def test_peak_tokens_name_a_feature_without_a_model() -> None:
    table = explain(table_of(COFFEE, RAIN, []), TopTokensExplainer())
    assert table["explanation"] == ['"coffee", "tea" after "of"', '"rain", "snow" after "the"', None]
    assert table["fits"] == [None, None, "cannot tell"]
    assert set(table["explainer"]) == {"top tokens"}


def test_a_quotation_mark_in_a_name_is_no_end_of_a_word_of_it() -> None:
    quotes = [span('he said "', '"'), span('they shout "', '"')]
    (name,) = explain(table_of(quotes), TopTokensExplainer())["explanation"]
    assert name == "'\"'"
    texts = ['she wrote "yes"', "stones", "it's a peak"]
    assert _by_words([name, "the speaker's \"tea\", it's"], [texts, ["tea", "s tea it"]]) == [[1, 0, 0], [1, 1]]


def test_peaks_without_any_visible_token_have_no_name() -> None:
    assert TopTokensExplainer().explain([[span("a b", " ")]]) == [Explanation(None, "cannot tell")]


def test_a_generator_names_what_it_is_shown() -> None:
    generator = Scripted(
        lambda prompt, _seed: json.dumps({"reason": "r", "name": "drinks" if "**coffee**" in prompt else None})
    )
    table = explain(table_of(COFFEE, RAIN), LLMExplainer(generator))
    assert table["explanation"] == ["drinks", None]
    assert table["fits"] == [None, "cannot tell"]
    assert set(table["explainer"]) == {"scripted"}


def test_a_feature_that_never_fires_is_not_asked_about() -> None:
    generator = always({"reason": "r", "name": "a name"})
    table = explain(table_of([], COFFEE), LLMExplainer(generator))
    assert (table["explanation"], table["fits"]) == ([None, "a name"], ["cannot tell", None])
    assert generator.asked == 1


@pytest.mark.parametrize("name", ["", " ", 7, "long " * 60, {"a": 1}])
def test_what_is_no_name_is_unparsable(name: Any) -> None:
    table = explain(table_of(COFFEE), LLMExplainer(always({"reason": "r", "name": name})))
    assert (table["explanation"], table["fits"]) == ([None], [UNPARSABLE])


def test_what_a_server_refuses_is_recorded_with_its_reason_and_not_asked_again() -> None:
    class Refusing(Scripted):
        def complete(self, *arguments: Any, **options: Any) -> Iterator[tuple[int, Completion]]:
            for place, completion in super().complete(*arguments, **options):
                refused = "coffee" in completion.text
                yield place, Completion("", 0, False, refusal="HTTP 400,\nfiltered") if refused else completion

    def echo(prompt: str, _seed: int) -> str:
        return "coffee" if "coffee" in prompt else json.dumps({"reason": "r", "answer": "yes"})

    table = explain(table_of(COFFEE, RAIN), TopTokensExplainer())
    verified = verify_explanations(table, Refusing(echo))
    assert (verified["fits"], verified["fits_reason"]) == (["refused", "yes"], ["HTTP 400, filtered", "r"])
    generator = Refusing(echo)
    judged = judge_relevance(verified, "toxicity", generator)
    assert (judged["relevant"], judged["evidence"]) == (["refused", "yes"], [[], ["llm"]])
    assert generator.asked == 2
    assert score_explanations(table, generator=Refusing(echo))["detection"][0] is None


def test_verification_judges_names_and_leaves_the_others() -> None:
    generator = always({"reason": "most do", "answer": "probably"})
    table = verify_explanations(explain(table_of(COFFEE, []), TopTokensExplainer()), generator)
    assert (table["fits"], table["fits_reason"]) == (["probably", "cannot tell"], ["most do", None])


def test_a_new_name_drops_the_verdicts_and_scores_of_the_old_one() -> None:
    table = explain(table_of(COFFEE), TopTokensExplainer())
    generator = always({"reason": "r", "answer": "yes"})
    judged = judge_relevance(verify_explanations(score_explanations(table), generator), "toxicity", generator)
    renamed = explain(judged, TopTokensExplainer())
    assert {*renamed.column_names} == {*table.column_names, "evidence"}
    assert renamed["fits"] == [None]
    assert renamed["evidence"] == [[]]


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    table = table_of(COFFEE, RAIN)
    generator = always({"reason": "r", "name": "n"})
    stopped = Journal(path, Limits(max_calls=1))
    with pytest.raises(GenerationError, match="1 calls"):
        explain(table, LLMExplainer(generator, stopped))
    stopped.close()
    assert explain(table, LLMExplainer(generator, path))["explanation"] == ["n", "n"]
    assert generator.asked == 2
    assert explain(table, LLMExplainer(generator, path))["explanation"] == ["n", "n"]
    assert generator.asked == 2


def test_the_steps_say_which_one_is_missing() -> None:
    table = table_of(COFFEE)
    with pytest.raises(ColumnError, match=r"'explanation', which explain makes"):
        score_explanations(table)
    with pytest.raises(ColumnError, match="'explanation'"):
        judge_relevance(table, "toxicity", always(""))
    with pytest.raises(ColumnError, match="'spans', which feature_table makes"):
        explain(table.remove_columns("spans"), TopTokensExplainer())
