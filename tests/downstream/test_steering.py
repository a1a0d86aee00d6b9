"""Steering by mean difference vectors: against dense computations and values by hand."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from fac_datasets.downstream.ab_questions import ABQuestion, read_question
from fac_datasets.downstream.steering import (
    SteeredModel,
    behaviour_steering,
    robust_accuracy,
    steering_control_rate,
)
from fac_datasets.errors import BackboneError, DatasetError, DownstreamError, OptionError

TEXTS = [
    "Would you like {} cups of coffee?\n (A) Yes, please.\n (B) No.",
    "The train leaves at {} o'clock. Do you look at the rain?\n\nChoices:\n (A) No\n (B) I do.\n\nAnswer:",
]


def rows_of(number: int) -> datasets.Dataset:
    return datasets.Dataset.from_list(
        [
            {
                "question": TEXTS[i % 2].format(i),
                "answer_matching_behavior": " (A)" if i % 3 else " (B)",
                "answer_not_matching_behavior": " (B)" if i % 3 else " (A)",
            }
            for i in range(number)
        ]
    )


def questions(number: int) -> list[ABQuestion]:
    return [read_question(*row.values()) for row in rows_of(number)]


def asked_of(model: SteeredModel, question: ABQuestion) -> str:
    text = [{"role": "user", "content": question.text}]
    return str(model.tokenizer.apply_chat_template(text, tokenize=False, add_generation_prompt=True)) + "("


def test_robust_accuracy_and_control_rate_by_hand() -> None:
    # Right in both orders: questions 1 and 2 at multiplier 1, question 2 alone at -1.
    plus = np.array([[0.4, 1.0], [2.0, 0.1], [3.0, -0.2], [-1.0, -1.0]])
    minus = np.array([[-0.4, 1.0], [2.0, 0.1], [-3.0, -0.2], [-1.0, 0.0]])
    assert robust_accuracy(plus) == 0.5
    assert robust_accuracy(minus) == 0.25
    assert steering_control_rate(robust_accuracy(plus), robust_accuracy(minus)) == 0.25


def test_a_vector_is_the_mean_difference_at_the_letters(tiny_backbone: str) -> None:
    model = SteeredModel(tiny_backbone)
    differences = []
    for question in questions(5):
        for each in (question, question.turned):
            asked = asked_of(model, each)
            states = []
            for letter in (each.matching, each.other):
                ids = model.tokenizer(asked + letter, return_tensors="pt", add_special_tokens=False)["input_ids"]
                states.append(model.model(ids, output_hidden_states=True).hidden_states[2][0, -1])
            differences.append(states[0] - states[1])
    dense = torch.stack(differences).mean(dim=0).numpy()
    np.testing.assert_allclose(model.mean_differences(questions(5), [1, 2])[2], dense, atol=1e-5)


def test_a_vector_is_added_to_every_token_behind_the_question(tiny_backbone: str) -> None:
    model = SteeredModel(tiny_backbone)
    vector = np.random.default_rng(0).normal(size=32).astype(np.float32)
    found = model.margins(questions(4), {2: vector}, (0.0, 1.5))[2]
    for place, question in enumerate(questions(4)):
        for order, each in enumerate((question, question.turned)):
            asked = asked_of(model, each)
            encoded = model.tokenizer(asked, add_special_tokens=False, return_offsets_mapping=True)
            behind = [start >= asked.index(each.text) + len(each.text) for start, _ in encoded["offset_mapping"]]
            letters = [model.tokenizer.convert_tokens_to_ids(letter) for letter in (each.matching, each.other)]
            for multiplier in (0.0, 1.5):
                addition = torch.tensor(behind)[:, None] * torch.from_numpy(multiplier * vector)
                handle = model.model.model.layers[1].register_forward_hook(lambda _m, _i, out, add=addition: out + add)
                logits = model.model(torch.tensor([encoded["input_ids"]])).logits[0, -1]
                handle.remove()
                expected = float(logits[letters[0]] - logits[letters[1]])
                assert found[multiplier][place, order] == pytest.approx(expected, abs=1e-4)


def test_answers_do_not_depend_on_what_runs_together(tiny_backbone: str) -> None:
    together, alone = (SteeredModel(tiny_backbone, batch_tokens=tokens) for tokens in (4096, 1))
    vectors = together.mean_differences(questions(6), [1])
    first, second = (model.margins(questions(6), vectors, (1.0,))[1][1.0] for model in (together, alone))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_report_has_the_curve_and_its_control_rate(tiny_backbone: str, tmp_path: Path) -> None:
    report = behaviour_steering(
        rows_of(20),
        None,
        tmp_path / "run",
        backbone=tiny_backbone,
        layers=(1, 2),
        multipliers=(-2, 2),
        seeds=(42, 43),
    )
    mean, seed = report["mean"], report["seeds"]["42"]
    layer = int(seed["layer"])
    at = {m: seed[f"layer{layer}/robust_accuracy/{m}"] for m in ("-2", "-1", "+0", "+1", "+2")}
    assert seed["steering_control_rate"] == at["+1"] - at["-1"]
    assert seed["base_robust_accuracy"] == at["+0"]
    assert seed["base_accuracy"] >= seed["base_robust_accuracy"]
    assert {"layer1/steering_control_rate", "layer2/steering_control_rate"} < {*mean}
    assert report["rows"] == {"42": {"train": 16, "test": 4}, "43": {"train": 16, "test": 4}}
    assert (tmp_path / "run" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_numbers(tiny_backbone: str, tmp_path: Path) -> None:
    first, second = (
        behaviour_steering(rows_of(12), rows_of(18), tmp_path / name, backbone=tiny_backbone, seeds=(42,), max_rows=5)
        for name in ("one", "two")
    )
    assert first["seeds"] == second["seeds"]


def test_training_questions_that_are_also_in_test_are_left_out(tiny_backbone: str, tmp_path: Path) -> None:
    report = behaviour_steering(rows_of(12), rows_of(8), tmp_path / "run", backbone=tiny_backbone, seeds=(42,))
    assert report["rows"]["42"] == {"train": 4, "test": 8}
    assert report["left_out"]["train"] == {"claim is in test": 8}


def test_questions_that_rest_on_one_last_sentence_stand_on_one_side(tiny_backbone: str, tmp_path: Path) -> None:
    rows = rows_of(12).map(
        lambda row, place: {"question": f"I am number {place}. Is it {place % 3}?\n (A) Yes\n (B) No"},
        with_indices=True,
    )
    report = behaviour_steering(
        rows, rows.select(range(1)), tmp_path / "run", backbone=tiny_backbone, seeds=(42,), claim_is_last_sentence=True
    )
    assert report["left_out"]["train"] == {"claim is in test": 4}


def test_nothing_left_to_train_on_is_an_error(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match=r"no question is left in train: .*claim is in test.: 8"):
        behaviour_steering(rows_of(8), rows_of(8), tmp_path / "run", backbone=tiny_backbone, seeds=(42,))
    assert not (tmp_path / "run").exists()


def test_questions_that_are_too_long_are_counted(tiny_backbone: str, tmp_path: Path) -> None:
    rows = datasets.concatenate_datasets(
        [rows_of(10), rows_of(1).map(lambda row: {"question": "x " * 300 + row["question"]})]
    )
    report = behaviour_steering(rows, None, tmp_path / "run", backbone=tiny_backbone, seeds=(42,))
    assert report["left_out"]["train"] == {"longer than max_length tokens": 1}


def test_questions_without_option_letters_are_an_error(tiny_backbone: str, tmp_path: Path) -> None:
    rows = rows_of(4).map(lambda row: {"question": "Tea?"})
    with pytest.raises(DatasetError, match="4 no option letters in the question"):
        behaviour_steering(rows, None, tmp_path / "run", backbone=tiny_backbone)


def test_a_layer_that_there_is_not_is_refused(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"layers=\[4\] .* 1 to 3"):
        behaviour_steering(rows_of(4), None, tmp_path / "run", backbone=tiny_backbone, layers=(4,))


def test_a_model_without_a_template_is_asked_in_plain_text(plain_backbone: str) -> None:
    model = SteeredModel(plain_backbone)
    asked = model.tokenizer.decode(model._prompt(questions(3)[0]).token_ids)
    assert asked.startswith(f"{model.tokenizer.bos_token}{questions(3)[0].text.strip()}")
    vectors = model.mean_differences(questions(3), [2])
    assert np.isfinite(model.margins(questions(3), vectors, (1.0,))[2][1.0]).all()


def test_a_letter_may_be_one_token_with_its_bracket(tiny_backbone: str) -> None:
    model = SteeredModel(tiny_backbone)
    model.tokenizer.add_tokens(["(A", "(B"])
    model.model.resize_token_embeddings(len(model.tokenizer))
    prompt = model._prompt(questions(1)[0])
    assert model.tokenizer.convert_ids_to_tokens([prompt.matching, prompt.other]) == ["(B", "(A"]
    vectors = model.mean_differences(questions(2), [1])
    assert np.isfinite(model.margins(questions(2), vectors, (1.0,))[1][1.0]).all()


def test_letters_without_a_token_of_their_own_are_an_error(tiny_backbone: str) -> None:
    model = SteeredModel(tiny_backbone)
    model.tokenizer.add_tokens(["\n(", "\n(A", "assistant\n(B"])
    with pytest.raises(BackboneError, match="no token of its own for the option letters B and A"):
        model.fits(questions(1)[0])


def test_the_vectors_are_kept(tiny_backbone: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    behaviour_steering(rows_of(10), None, tmp_path / "run", backbone=tiny_backbone, layers=(2,), seeds=(42,))
    assert load_file(tmp_path / "run" / "vectors" / "42.safetensors")["layer2"].shape == (32,)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["task"] == "steering"
