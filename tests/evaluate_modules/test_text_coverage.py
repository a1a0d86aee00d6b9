"""The metric `fac` of texts, chats, ids and columns."""

from __future__ import annotations

from typing import Any

import evaluate
import numpy as np
import pytest

from fac_datasets import load_metric
from fac_datasets.errors import ColumnError, DatasetError, OptionError
from tests.tiny import TEXTS


def test_texts_of_different_numbers_are_measured(tiny_backbone: str, tiny_sae: str) -> None:
    options = {"backbone": tiny_backbone, "sae": tiny_sae, "threshold": "q75"}
    result = evaluate.load("fac").compute(predictions=TEXTS[:2], references=TEXTS[:5], **options)
    assert 0 < result["fac"] < 1
    assert evaluate.load("fac").compute(predictions=TEXTS[:5], references=TEXTS[:5], **options)["fac"] == 1


def test_a_list_of_thresholds_gives_a_curve(tiny_backbone: str, tiny_sae: str) -> None:
    given = {"predictions": TEXTS[:2], "references": TEXTS[:5], "backbone": tiny_backbone, "sae": tiny_sae}
    curve = load_metric("fac").compute(**given, threshold=["q75", "q95"], rarefaction=True)
    for place, threshold in enumerate(("q75", "q95")):
        single = load_metric("fac").compute(**given, threshold=threshold, rarefaction=True)
        assert {key: curve[key][place] for key in single if key not in ("n_rows", "n_tokens")} == {
            key: single[key] for key in single if key not in ("n_rows", "n_tokens")
        }
    assert curve["n_rows"] == 2
    mixed = load_metric("fac").compute(**given, threshold=["q75", 0.5])
    assert mixed["fac"][0] == curve["fac"][0]


def test_rarefaction_ends_at_the_coverage_of_all_rows() -> None:
    result = load_metric("fac").compute(predictions=[[1], [2], [2, 3]], references=[[1, 2, 3, 4]], rarefaction=True)
    assert result["rarefaction"][0] == (0, 0.0)
    assert result["rarefaction"][-1] == (3, result["fac"])


def test_coverage_at_a_budget_is_that_of_parts_with_as_many_tokens(tiny_backbone: str, tiny_sae: str) -> None:
    given = {"predictions": TEXTS[:6], "references": TEXTS, "backbone": tiny_backbone, "sae": tiny_sae}
    whole = load_metric("fac").compute(**given)
    all_tokens = load_metric("fac").compute(**given, budget_tokens=whole["n_tokens"])
    assert all_tokens["fac_at_budget"] == pytest.approx(whole["fac"])
    assert all_tokens["fac_at_budget_std"] == pytest.approx(0)
    some = load_metric("fac").compute(**given, budget_tokens=whole["n_tokens"] // 2)
    assert 0 < some["fac_at_budget"] < whole["fac"]
    assert some["fac_at_budget_std"] > 0
    with pytest.raises(DatasetError, match=f"holds {whole['n_tokens']} own tokens"):
        load_metric("fac").compute(**given, budget_tokens=whole["n_tokens"] + 1)


@pytest.mark.slow
def test_the_control_is_the_coverage_of_random_directions(tiny_backbone: str, tiny_sae: str) -> None:
    given = {"predictions": TEXTS[:2], "references": TEXTS[:5], "backbone": tiny_backbone, "sae": tiny_sae}
    first, again = (load_metric("fac").compute(**given, control="random_sae") for _ in range(2))
    assert 0 < first["fac_random_sae"] < 1
    assert first == again
    same = load_metric("fac").compute(**{**given, "predictions": TEXTS[:5]}, control="random_sae")
    assert same["fac_random_sae"] == 1


def test_chats_are_measured(tiny_backbone: str, tiny_sae: str) -> None:
    chats = [[{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}] for text in TEXTS[:4]]
    options = {"backbone": tiny_backbone, "sae": tiny_sae}
    result = load_metric("fac").compute(predictions=chats[:2], references=chats, **options)
    assert 0 < result["fac"] < 1
    against_texts = load_metric("fac").compute(predictions=TEXTS[:4], references=chats, **options)
    assert 0 < against_texts["fac"] <= 1


def test_messages_may_hold_more_than_role_and_content() -> None:
    chats = [[{"role": "user", "content": "A cat.", "name": "Zoe"}]]
    metric = load_metric("fac")
    metric.add_batch(predictions=chats)
    assert metric.selected_feature_format["predictions"].feature.keys() == {"role", "content"}


@pytest.mark.slow
def test_a_budget_below_the_shortest_row_is_met_on_average(tiny_backbone: str, tiny_sae: str) -> None:
    given = {"predictions": TEXTS[:6], "references": TEXTS, "backbone": tiny_backbone, "sae": tiny_sae}
    found = load_metric("fac").compute(**given, budget_tokens=1)
    assert 0 < found["fac_at_budget"] < 0.3 * found["fac"]


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "message"), [([], "no thresholds"), ("q42", "'q42' is neither")])
def test_thresholds_that_are_none_are_named_before_anything_is_measured(threshold: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_metric("fac").compute(predictions=[[1]], references=[[1]], threshold=threshold)


def test_an_anchor_that_is_one_text_is_an_error() -> None:
    with pytest.raises(ColumnError, match="a single text"):
        load_metric("fac").compute(predictions=["a"], references="an anchor")


def test_arrays_and_features_are_taken() -> None:
    result = load_metric("fac").compute(
        predictions=[np.array([1, 2])], references=[np.array([1, 2, 3])], features=[1, 3]
    )
    assert (result["fac"], result["missing"]) == (0.5, [3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("predictions", "references", "error", "message"),
    [
        (["a"], None, DatasetError, "pass its texts or feature ids as references"),
        (["a"], [], DatasetError, "references 0"),
        ([], ["a"], DatasetError, "predictions have no rows"),
        (["a"], [[1]], ColumnError, "both be texts"),
        ([[1]], ["a"], ColumnError, "both be texts"),
        ([[1]], [[]], DatasetError, "activates no feature"),
        ([[-1]], [[1]], ColumnError, "negative"),
    ],
)
def test_bad_input_is_named(predictions: object, references: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_metric("fac").compute(predictions=predictions, references=references)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_tokens": 5}, "feature ids have no tokens"),
        ({"control": "random_sae"}, "no SAE"),
        ({"control": "shuffled"}, "'shuffled' is unknown"),
    ],
)
def test_options_that_need_texts_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_metric("fac").compute(predictions=[[1]], references=[[1]], **options)


def test_denominators_and_counts_are_those_of_a_report(tiny_backbone: str, tiny_sae: str) -> None:
    ids: dict[str, Any] = {"predictions": [[1], [1, 2]], "references": [[1, 2, 3], [3, 4]]}
    result = load_metric("fac").compute(**ids, features=[2, 3], missing_of=[3, 4], count="rows")
    # Shares of rows: 2 has 1/2 on both sides, 3 has 0 and 1.
    assert result["fac"] == pytest.approx(1 / 3)
    assert result["of_relevant"]["share"] == result["fac"]
    assert (result["of_missing"]["covered"], result["of_missing"]["of"]) == (0, 2)
    texts = {"predictions": TEXTS[:2], "references": TEXTS[:5], "backbone": tiny_backbone, "sae": tiny_sae}
    by = {count: load_metric("fac").compute(**texts, count=count)["fac"] for count in ("binary", "activation")}
    assert 0 < by["activation"] < by["binary"]
    with pytest.raises(OptionError, match="count"):
        load_metric("fac").compute(**ids, count="mean")
    with pytest.raises(OptionError, match="missing_of"):
        load_metric("fac").compute(**ids, missing_of="all")
