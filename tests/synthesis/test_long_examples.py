"""However long rows are, a prompt stays short, and shows the place where the feature fires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import pytest

from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.synthesis.asking import TRY_CHARACTERS
from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.prompting import EXAMPLE_CHARACTERS, SYSTEM_CHARACTERS, Told, example_of, prompts_of
from fac_datasets.synthesis.pursuit import Try
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.showing import EXAMPLES, Shelf, shortened
from fac_datasets.synthesis.targets import Target
from fac_datasets.synthesis.turns import TURNS
from tests.synthesis.asking_cases import asker_of, pursuit_of
from tests.synthesis.cases import Case

LONG = "So it went on and on, as such things do. " * 250
PEAK = "at last the plums were"
HELD = f"{LONG}And {PEAK} ripe. {LONG}"
CHINESE = "日子一天一天地过去了。" * 900
PEAK_OF_CHINESE = "最后梅子熟了"


def talk(turns: int, said: dict[int, str], other: str = LONG) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": said.get(i, f"{i}. {other}")} for i in range(2 * turns)]


def transcript(messages: Sequence[dict[str, str]]) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{names[each['role']]}: {each['content'].strip()}" for each in messages)


SEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"text": HELD}, PEAK),
    "text without blanks": ({"text": f"{CHINESE}{PEAK_OF_CHINESE}。{CHINESE}"}, PEAK_OF_CHINESE),
    "columns": ({"instruction": LONG, "input": LONG, "output": HELD}, PEAK),
    "prompt and response": ({"prompt": HELD, "response": LONG}, PEAK),
    "chat": ({"messages": [{"role": "system", "content": LONG}, *talk(30, {41: HELD})]}, PEAK),
    "chat without blanks": (
        {"messages": talk(30, {58: f"{CHINESE}{PEAK_OF_CHINESE}。{CHINESE}"}, CHINESE)},
        PEAK_OF_CHINESE,
    ),
    "pair": ({"prompt": LONG, "chosen": LONG, "rejected": HELD}, PEAK),
    "transcripts": (
        {"chosen": transcript(talk(30, {59: HELD})), "rejected": transcript(talk(30, {59: "No."}))},
        PEAK,
    ),
    "transcripts, in the middle": (
        {"chosen": transcript(talk(30, {21: HELD})), "rejected": transcript(talk(30, {21: HELD, 59: "No."}))},
        PEAK,
    ),
    "question": (
        {
            "question": f"{HELD}\n\nChoices:\n (A) Agree\n (B) Disagree",
            "answer_matching_behavior": " (A)",
            "answer_not_matching_behavior": " (B)",
        },
        PEAK,
    ),
}  # fmt: skip


def target(row: int | None = None, *spans: tuple[int, str]) -> Target:
    held = [
        {"row": place, "text": text, "start": len(text) - 4, "end": len(text), "activation": 1.0}
        for place, text in spans
    ]
    return Target(3, "ripe fruit", 0.5, tuple(held), row=row)


@pytest.mark.embedded
@pytest.mark.parametrize("name", SEEDS)
def test_a_prompt_of_long_rows_fits_the_model_and_shows_where_the_feature_fires(name: str) -> None:
    row, peak = SEEDS[name]
    rows = datasets.Dataset.from_list([row] * EXAMPLES)
    column = "chosen" if "chosen" in row else None
    kind = recognise(rows, column=column)
    pursuit = Shelf(kind, rows, rows).pursuit(target(None, (0, peak)))
    leading = pursuit.examples[-1]
    assert peak in leading.whole
    assert len(leading.whole) <= 4 * EXAMPLE_CHARACTERS + 4 * TURNS
    assert all(len(text) <= EXAMPLE_CHARACTERS + 30 for text in leading.texts.values())
    # It is still a sample of its kind.
    assert kind.read(kind.show(leading), True, leading) == leading
    messages = prompts_of(kind).messages(kind, pursuit.examples, pursuit.like, Told("ripe fruit"))
    info = backbone_info("embedded")
    text = "\n".join(content for _, content in messages)
    assert len(load_tokenizer(info.path)(text)["input_ids"]) < 8192 - 512


def test_the_system_prompt_is_cut_in_the_prompt_alone() -> None:
    row, _ = SEEDS["chat"]
    rows = datasets.Dataset.from_list([row])
    kind = recognise(rows)
    (example,) = Shelf(kind, None, rows).seed_rows
    assert example.system == LONG
    asked = prompts_of(kind).messages(kind, [example], example)[-1][1]
    assert len(asked) < SYSTEM_CHARACTERS + 400


def test_a_row_that_was_planned_shows_where_its_columns_say_that_the_feature_fires() -> None:
    place = HELD.index("plums")
    row = {
        "messages": talk(30, {41: HELD}),
        "feature_ids": [1, 3],
        "feature_activations": [1.0, 2.0],
        "feature_starts": [0, place],
        "feature_ends": [2, place + 5],
        "feature_messages": [0, 41],
    }
    rows = datasets.Dataset.from_list([row])
    pursuit = Shelf(recognise(rows), rows, None).pursuit(target(0))
    assert "plums" in pursuit.like.whole


@pytest.mark.parametrize("place", [0, 1, 500, 5000, 9998, 9999])
@pytest.mark.parametrize("text", ["word " * 2000, "字" * 10000, ("x" * 99 + " ") * 100, "a\n" * 5000])
def test_a_cut_text_keeps_the_place(text: str, place: int) -> None:
    marked = f"{text[:place]}▲{text[place + 1 :]}"
    shown = example_of(marked, place)
    assert "▲" in shown
    assert EXAMPLE_CHARACTERS - 60 < len(shown) <= EXAMPLE_CHARACTERS


def test_a_pair_keeps_its_last_turn_beside_the_one_that_fires() -> None:
    row, peak = SEEDS["transcripts, in the middle"]
    rows = datasets.Dataset.from_list([row])
    (whole,) = [recognise(rows, column="chosen").sample_of(dict(each)) for each in rows]
    assert whole is not None
    cut = shortened(whole, peak)
    assert [*cut.texts] == ["prompt", "response", "prompt_2", "response_2", "prompt_3", "chosen", "rejected"]
    assert cut.texts["prompt_3"].startswith("58.")
    assert cut.texts["rejected"] == "No."


def test_long_tries_are_shown_around_their_peak(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case)
    place = HELD.index("plums")
    pursuit.tries = [
        Try(Sample({"text": HELD}), 2.0, "text", place, place + 5),
        Try(Sample({"text": LONG}), 0.0, "", 0, 0),
    ]
    asked = asker.prompt(Wish(), pursuit)[-1][1]
    assert f"{PEAK.replace('plums', '**plums**')} ripe" in asked
    assert len(asked) < 2 * TRY_CHARACTERS + 600


def test_a_long_row_as_the_strong_example_is_shown_around_its_peak(case: Case) -> None:
    rows = datasets.Dataset.from_dict({"text": [HELD]})
    excerpt = f"And {PEAK.removesuffix(' were')}"
    asker, pursuit = (
        asker_of(case),
        Shelf(recognise(rows), rows, None).pursuit(
            Target(3, "fruit", 0.5, ({"row": 0, "text": excerpt, "start": 16, "end": 21, "activation": 2.0},))
        ),
    )
    pursuit.tries = [Try(Sample({"text": LONG}), 0.0, "", 0, 0)]
    asked = asker.prompt(Wish(), pursuit)[-1][1]
    assert "And at last the **plums** were ripe" in asked
    assert len(asked) < EXAMPLE_CHARACTERS + TRY_CHARACTERS + 600
