"""Instruction following: rows of any schema, the loss of responses, answers in AlpacaEval's format, and a judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from fac_datasets.downstream import instructions
from fac_datasets.downstream.instructions import instruction_following, questions_to_judge
from fac_datasets.downstream.judge import Pair
from fac_datasets.errors import DownstreamError, GenerationError, LimitReached, OptionError
from fac_datasets.generation import Journal, Limits
from fac_datasets.generation.endpoint import EndpointGenerator
from fac_datasets.interpretation.questions import plan
from tests.downstream.test_judge import ALWAYS_A, KNOWN, a_judge
from tests.interpretation.scripted import Scripted
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

ROWS = datasets.Dataset.from_dict(
    {
        "instruction": [f"Who wrote book {n}?" for n in range(12)],
        "input": ["", "A woman from Norway."] * 6,
        "output": [f"The cat wrote {n}." for n in range(12)],
    }
)
QUICK: dict[str, Any] = {"seeds": (42,), "answers": 3, "max_new_tokens": 4, "learning_rate": 1e-2}


def follow(out: Path, backbone: str, train: datasets.Dataset = ROWS, **options: Any) -> dict[str, Any]:
    test = options.pop("test", ROWS.select(range(4)))
    return instruction_following(train, test, out, backbone=backbone, **{**QUICK, **options})


@pytest.fixture(scope="module")
def finished(tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("instructions") / "run"
    follow(out, tiny_backbone)
    return out


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def test_training_lowers_the_loss_of_responses_like_those(finished: Path) -> None:
    figures = report_of(finished)["seeds"]["42"]
    assert figures["response_loss"] < figures["response_loss_before"]


def loss_of(backbone: str, prompt: str, end: str, *, begun: bool) -> float:
    """What a model gives the responses of the test rows behind a prompt, in nats a token."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(backbone)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
    model.eval()
    losses = []
    for row in ROWS.select(range(4)):
        asked = prompt.format("\n\n".join(filter(None, (row["instruction"], row["input"]))))
        first, second = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, f"{row['output']}{end}")
        )
        first = [tokenizer.bos_token_id, *first] if begun else first
        with torch.inference_mode():
            likelihood = model(torch.tensor([first + second])).logits[0].log_softmax(dim=-1)
        losses += [-float(likelihood[len(first) + place - 1, token]) for place, token in enumerate(second)]
    return sum(losses) / len(losses)


def test_the_loss_before_is_that_of_the_responses_tokens_alone(finished: Path, tiny_backbone: str) -> None:
    prompt = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    expected = loss_of(tiny_backbone, prompt, "<|im_end|>\n", begun=False)
    assert report_of(finished)["mean"]["response_loss_before"] == pytest.approx(expected, abs=1e-4)


def test_a_prompt_without_a_template_begins_with_the_special_token(plain_backbone: str, tmp_path: Path) -> None:
    import transformers

    end = transformers.AutoTokenizer.from_pretrained(plain_backbone).eos_token
    expected = loss_of(plain_backbone, "{}\n\n", end, begun=True)
    report = follow(tmp_path / "run", plain_backbone)
    assert report["mean"]["response_loss_before"] == pytest.approx(expected, abs=1e-4)


def test_answers_are_in_the_format_of_alpaca_eval(finished: Path) -> None:
    outputs, references = (
        json.loads((finished / name).read_text()) for name in ("outputs/42.json", "reference_outputs.json")
    )
    assert [{*each} for each in outputs] == [{"instruction", "output", "generator", "dataset"}] * 3
    assert [each["instruction"] for each in outputs] == [each["instruction"] for each in references]
    assert {each["output"] for each in references} <= {*ROWS["output"]}


def test_the_same_seed_gives_the_same_numbers(finished: Path, tiny_backbone: str, tmp_path: Path) -> None:
    again = follow(tmp_path / "again", tiny_backbone)
    assert again["seeds"] == report_of(finished)["seeds"]
    assert (tmp_path / "again" / "outputs" / "42.json").read_text() == (finished / "outputs" / "42.json").read_text()


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.remove_columns("input").rename_columns({"instruction": "prompt", "output": "completion"}),
        datasets.Dataset.from_dict(
            {
                "messages": [
                    [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
                    for row in ROWS
                ]
            }
        ),
    ],
    ids=["prompt and completion", "messages"],
)
def test_other_schemas_are_read(rows: datasets.Dataset, tiny_backbone: str, tmp_path: Path) -> None:
    report = follow(tmp_path / "run", tiny_backbone, rows, answers=0)
    assert report["rows"] == {"train": 12, "test": 4}


def test_rows_without_a_response_are_left_out_and_counted(tiny_backbone: str, tmp_path: Path) -> None:
    rows = ROWS.map(lambda row, place: {"output": "" if place < 2 else row["output"]}, with_indices=True)
    report = follow(tmp_path / "run", tiny_backbone, rows, answers=0)
    assert report["left_out"] == {"train": {"without a response": 2}, "test": {}}


def test_no_response_column_is_an_error(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match=r"has a response; .* instruction, output; .*'input'.*--column"):
        follow(tmp_path / "run", tiny_backbone, ROWS.remove_columns("output"))


def test_fewer_rows_than_a_batch_are_an_error(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match=r"train has 7 rows with a response .* at least 8 are needed"):
        follow(tmp_path / "run", tiny_backbone, ROWS.select(range(7)))


def test_long_responses_are_cut_and_prompts_without_room_left_out(tiny_backbone: str, tmp_path: Path) -> None:
    rows = ROWS.map(
        lambda row, place: {
            "output": "It rose. " * 40 if place == 0 else row["output"],
            "instruction": "Who? " * 90 if place == 1 else row["instruction"],
        },
        with_indices=True,
    )
    report = follow(tmp_path / "run", tiny_backbone, rows, answers=0, max_length=100)
    assert report["cut"]["train"] == 1
    assert report["left_out"]["train"] == {"with a prompt that leaves no room for a response": 1}


def test_a_judge_that_counts_gives_a_win_rate(tiny_backbone: str, tmp_path: Path) -> None:
    judge = a_judge(lambda a, b: "A" if len(a) > len(b) else "B")
    found = follow(tmp_path / "run", tiny_backbone, judge=judge, known=KNOWN)["win_rate"]
    assert found["verdict"] == "counts"
    assert 0 <= found["raw"]["mean"] <= 100
    assert found["seeds"]["42"]["pairs"]["judged"] == 3


def test_a_judge_that_does_not_count_is_uninformative(tiny_backbone: str, tmp_path: Path) -> None:
    found = follow(tmp_path / "run", tiny_backbone, judge=ALWAYS_A, known=KNOWN)["win_rate"]
    assert found["verdict"] == "uninformative"
    assert "raw" not in found


def test_a_judge_that_fails_loses_no_training(tiny_backbone: str, tmp_path: Path) -> None:
    out, judge = tmp_path / "run", a_judge(lambda a, b: "A" if len(a) > len(b) else "B")
    with pytest.raises(LimitReached):
        follow(out, tiny_backbone, judge=judge, known=KNOWN, limits=Limits(max_calls=22))
    trained = (out / "losses" / "42.json").stat().st_mtime_ns
    report = follow(out, tiny_backbone, judge=judge, known=KNOWN)
    assert (out / "losses" / "42.json").stat().st_mtime_ns == trained
    assert judge.asked == 26
    assert report["win_rate"]["verdict"] == "counts"


@pytest.mark.parametrize("known", [[Pair("?", "No.", "Yes, it is.")], []], ids=["known pairs", "none"])
def test_a_judge_that_cannot_be_reached_is_told_of_before_training(
    known: list[Pair], tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instructions._Model, "load", lambda _self: pytest.fail("the model was loaded"))
    address = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(GenerationError, match=r"m@127\.0\.0\.1 did not answer"):
        follow(tmp_path / "run", tiny_backbone, judge=EndpointGenerator("m", base_url=address, retries=0), known=known)


def test_without_known_pairs_that_is_said_before_training_and_the_judge_asked_one_question(
    tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = a_judge(lambda _a, _b: "A")
    load = instructions._Model.load

    def loaded(model: Any) -> Any:
        assert judge.asked == 1
        assert "will be uninformative: no known pairs were given" in caplog.text
        assert "--known" in caplog.text
        return load(model)

    monkeypatch.setattr(instructions._Model, "load", loaded)
    follow(tmp_path / "run", tiny_backbone, judge=judge)
    assert judge.asked == 1 + 2 * 3


def test_known_pairs_are_judged_once_for_all_seeds_and_runs(tiny_backbone: str, tmp_path: Path) -> None:
    judge, out = a_judge(lambda a, b: "A" if len(a) > len(b) else "B"), tmp_path / "run"
    with pytest.raises(LimitReached):
        follow(out, tiny_backbone, judge=judge, known=KNOWN, limits=Limits(max_calls=20))
    assert judge.asked == 20
    report = follow(out, tiny_backbone, judge=judge, known=KNOWN)
    assert report["win_rate"]["verdict"] == "counts"
    assert judge.asked == 20 + 2 * 3


def test_a_judge_that_names_no_side_is_counted(tiny_backbone: str, tmp_path: Path) -> None:
    found = follow(tmp_path / "run", tiny_backbone, judge=a_judge(lambda _a, _b: "both"), known=KNOWN)["win_rate"]
    assert found["verdict"] == "uninformative"
    assert found["seeds"]["42"]["pairs"]["without_answer"] == {"neither A nor B": 6}


def test_a_plan_holds_all_questions_and_is_at_most_what_is_asked(tiny_backbone: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options: dict[str, Any] = {"backbone": tiny_backbone, "seeds": (42, 43), "answers": 3, "max_new_tokens": 4}
    test = ROWS.select(range(4))
    planned = questions_to_judge(test, KNOWN, out, **options)
    assert len({request.messages for request in planned}) == 2 * (10 + 3 * 2)
    judge = a_judge(lambda _a, _b: "A")
    follow(out, tiny_backbone, judge=judge, known=KNOWN)
    assert judge.asked == 2 * (10 + 3)
    left = Journal(out / "judge.jsonl", read_only=True)
    again = questions_to_judge(test, KNOWN, out, **options)
    assert plan(judge, left, again, answer_tokens=32).calls == 2 * 3


def test_a_judge_that_needs_more_tokens_gets_them_without_training_again(tiny_backbone: str, tmp_path: Path) -> None:
    out, judge = tmp_path / "run", Scripted(lambda _prompt, _seed: "")
    with pytest.raises(GenerationError, match="raise answer_tokens"):
        follow(out, tiny_backbone, judge=judge)
    trained = (out / "losses" / "42.json").stat().st_mtime_ns
    judge.answer = lambda _prompt, _seed: '{"better": "A"}'
    report = follow(out, tiny_backbone, judge=judge, answer_tokens=64)
    assert (out / "losses" / "42.json").stat().st_mtime_ns == trained
    assert "no known pairs" in report["win_rate"]["why"]


def test_a_judge_needs_answers(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="answers=0 leaves a judge nothing to compare"):
        follow(tmp_path / "run", tiny_backbone, judge=ALWAYS_A, answers=0)
