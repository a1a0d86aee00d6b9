"""Verdicts by a guideline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets import (
    TopTokensExplainer,
    explain,
    judge_relevance,
    relevant_features,
    verify_explanations,
)
from fac_datasets.errors import ColumnError, OptionError
from fac_datasets.generation import Request
from fac_datasets.interpretation.relevance import Guideline
from tests.interpretation.scripted import COFFEE, RAIN, Scripted, always, table_of


def test_relevance_needs_a_fitting_name() -> None:
    table = explain(table_of(COFFEE, RAIN, []), TopTokensExplainer())
    fits = Scripted(lambda prompt, _: json.dumps({"reason": "r", "answer": "yes" if "coffee" in prompt else "maybe"}))
    yes = always({"reason": "it harms", "answer": "yes"})
    judged = judge_relevance(verify_explanations(table, fits), "toxicity", yes)
    assert judged["relevant"] == ["yes", "yes", None]
    assert judged["relevance_reason"] == ["it harms", "it harms", None]
    assert set(judged["guideline"]) == {"Toxicity"}
    assert judged["evidence"] == [["llm"], [], []]
    assert relevant_features(judged).tolist() == [0]


@pytest.mark.parametrize(
    "name", ["toxicity", "helpfulness", "instruction_following", "sycophancy", "survival_instinct"]
)
def test_the_guidelines_of_the_field_are_there(name: str) -> None:
    guideline = Guideline.load(name)
    assert guideline.name.lower().replace(" ", "_") == name
    assert len(guideline.text) > 400
    (request,) = [*judge_requests(guideline)]
    assert guideline.text in request.messages[0][1]
    assert "**coffee**" in request.messages[1][1]


def judge_requests(guideline: Guideline) -> list[Request]:
    from fac_datasets.interpretation.relevance import relevance_requests

    return relevance_requests(explain(table_of(COFFEE), TopTokensExplainer()), guideline)


def test_a_guideline_of_the_users_own_is_a_file_with_a_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text("# Cooking\n\nFood costs $5 and more.\n")
    assert Guideline.load(path) == Guideline("Cooking", "Food costs $5 and more.")
    (request,) = judge_requests(Guideline.load(path))
    assert "Food costs $5 and more." in request.messages[0][1]
    for content, problem in (("Food.\n", "no name"), ("# \nFood.", "no name"), ("# Cooking\n", "nothing under")):
        path.write_text(content)
        with pytest.raises(OptionError, match=problem):
            Guideline.load(path)
    with pytest.raises(OptionError, match=r"toxicity.*no file"):
        Guideline.load("toxicty")


def test_kinds_of_evidence_combine() -> None:
    table = table_of(COFFEE, RAIN, []).add_column("evidence", [["llm", "contrast"], ["effect"], []])
    assert relevant_features(table).tolist() == [0, 1]
    assert relevant_features(table, evidence=["llm", "effect"]).tolist() == [0, 1]
    assert relevant_features(table, evidence=["llm", "contrast"], together=True).tolist() == [0]
    for kinds in ([], ["hearsay"]):
        with pytest.raises(OptionError, match="evidence="):
            relevant_features(table, evidence=kinds)
    with pytest.raises(ColumnError, match="evidence"):
        relevant_features(table.remove_columns("evidence"))
