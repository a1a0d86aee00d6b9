"""Prompts are files of ours, or of a folder that a user names, with places that are checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fac_datasets.errors import OptionError
from fac_datasets.synthesis.kinds import KINDS, recognise
from fac_datasets.synthesis.prompting import FOLDER, Prompts, Scored, Told, prompts_of
from fac_datasets.synthesis.samples import Sample
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, TEXTS

GOOD = Scored(Sample({"text": "Pears are ripe."}).marked("text", 0, 5), 2.346)
BAD = Scored(Sample({"text": "It rains."}), 0.0)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_prompts_that_tell_examples_from_orders(name: str) -> None:
    prompts = prompts_of(KINDS[name])
    assert "is data" in prompts.sections["system"].template


def test_a_prompt_shows_examples_as_earlier_answers() -> None:
    kind = recognise(TEXTS["text"])
    examples = [Sample({"text": "one"}), Sample({"text": "two"})]
    messages = prompts_of(kind).messages(kind, examples, examples[0])
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [text for role, text in messages if role == "assistant"] == ["one", "two"]


def test_all_that_is_known_of_the_feature_is_told() -> None:
    kind = recognise(TEXTS["text"])
    told = Told("fruit", "ripe pears", GOOD, BAD, Sample({"text": "Pears grow."}))
    asked = prompts_of(kind).messages(kind, [], BAD.sample, told)[-1][1]
    for known in ("fruit", "ripe pears", "**Pears** are ripe.", "2.35", "It rains.", "0.00", "Pears grow."):
        assert known in asked
    assert asked.endswith("Write one.")


def test_the_label_is_asked_for_by_its_name() -> None:
    kind = recognise(LABELLED["class label"])
    examples = [sample for sample in map(kind.sample_of, LABELLED["class label"]) if sample is not None]
    asked = [text for role, text in prompts_of(kind).messages(kind, examples, examples[1]) if role == "user"]
    assert ["vivid" in text for text in asked] == [False, True, False, True]


def test_the_system_prompt_that_is_kept_is_told() -> None:
    kind = recognise(INSTRUCTIONS["openorca"])
    like = kind.sample_of(INSTRUCTIONS["openorca"][0])
    assert like is not None
    assert "Be brief." in prompts_of(kind).messages(kind, [], like)[-1][1]


def test_examples_may_be_shown_as_json() -> None:
    kind = recognise(INSTRUCTIONS["alpaca"])
    example = Sample({"prompt": "Hi.", "response": "Yes?"})
    assert prompts_of(kind).messages(kind, [example], example, as_json=True)[2][1] == kind.show(example, as_json=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "prompts")
    return tmp_path / "prompts"


def changed(folder: Path, old: str, new: str) -> Prompts:
    path = folder / "text.md"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return prompts_of(KINDS["text"], folder)


def test_prompts_of_a_folder_take_the_place_of_ours(folder: Path) -> None:
    prompts = changed(folder, "Write one.", "Write one for $$5.")
    assert prompts.messages(recognise(TEXTS["text"]), [], BAD.sample)[-1] == ("user", "Write one for $5.")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("# phrase", "# phrases", "the section '# phrases', which is none or there twice; its sections are"),
        ("# ask", "# system", "the section '# system', which is none or there twice"),
        ("$name", "$title", r"the section '# feature' of .* has other places than \$name"),
        ("$score", "much", r"the section '# good' of .* has other places than \$sample, \$score"),
        ("Write one.", "Write one for $5.", "the section '# ask' of .* has other places than none"),
        ("# system", "You write.\n\n# system", "text before its first section"),
    ],
)
def test_a_file_of_prompts_that_cannot_be_filled_is_refused(folder: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        changed(folder, old, new)


def test_a_missing_section_or_file_or_folder_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "labelled-text.md"
    text = path.read_text()
    path.write_text(text[: text.index("# label")] + text[text.index("# ask") :])
    with pytest.raises(OptionError, match=r"lacks the sections \['label'\]"):
        prompts_of(KINDS["labelled-text"], folder)
    path.unlink()
    with pytest.raises(OptionError, match=r"holds no file labelled-text\.md; copy ours"):
        prompts_of(KINDS["labelled-text"], folder)
    with pytest.raises(OptionError, match="holds no file"):
        prompts_of(KINDS["text"], tmp_path / "none")
