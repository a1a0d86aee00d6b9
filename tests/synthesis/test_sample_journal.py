"""A journal of samples goes on wherever it was cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fac_datasets.errors import OutputError
from fac_datasets.generation import Request, Steering
from fac_datasets.synthesis.measuring import measure
from fac_datasets.synthesis.sample_journal import SampleJournal, Tally, Verdict
from tests.synthesis.cases import Case
from tests.tiny import TINY_LAYER, TINY_WIDTH


@pytest.mark.parametrize("cut", [1, 5])
def test_a_journal_cut_off_anywhere_goes_on(tmp_path: Path, case: Case, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = SampleJournal(path)
    journal.completions.clear()
    journal._append({"sample": "a", "text": "line\u2028separator, naïve 漢字", "n_tokens": 1, "finished": True})
    journal._append({"sample": "b", "text": "second", "n_tokens": 1, "finished": True})
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    resumed = SampleJournal(path)
    assert list(resumed.completions) == ["a"]
    assert "\u2028" in resumed.completions["a"].text
    resumed.generate(case.generator, [Request((("user", "Hi"),), 1)], max_new_tokens=2, temperature=1.0)
    resumed.close()
    assert len(SampleJournal(path).completions) == 2


def test_a_journal_holds_every_batch_as_soon_as_it_is_generated(tmp_path: Path, case: Case) -> None:
    path, complete = tmp_path / "journal.jsonl", case.generator.complete
    seen: list[int] = []

    def looking(requests: list[Request], **options: object) -> object:
        seen.append(path.read_bytes().count(b"\n"))
        return complete(requests, **options)  # type: ignore[arg-type]

    case.generator.complete = looking  # type: ignore[method-assign, assignment]
    try:
        SampleJournal(path).generate(
            case.generator, [Request((("user", "Hi"),), i) for i in range(20)], max_new_tokens=2, temperature=1.0
        )
    finally:
        del case.generator.complete
    assert seen == [0, 8, 16]


def test_a_damaged_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"sample": broken\n{"sample": "k", "text": "t", "n_tokens": 1, "finished": true}\n')
    with pytest.raises(OutputError, match="line 1"):
        SampleJournal(path)


def test_a_journal_reads_back_what_it_wrote(case: Case, tmp_path: Path) -> None:
    journal = SampleJournal(tmp_path / "journal.jsonl")
    direction = np.ones(TINY_WIDTH, dtype=np.float32)
    requests = [Request((("user", "Hi"),), 1), Request((("user", "Hi"),), 1, Steering(TINY_LAYER, direction, 0.4))]
    first = journal.generate(case.generator, requests, max_new_tokens=4, temperature=1.0)
    journal.judge(first[0][0], Verdict(3, 1.5, "verified"))
    journal.close()
    again = SampleJournal(tmp_path / "journal.jsonl")
    assert again.completions == journal.completions
    assert again.verdicts == {first[0][0]: Verdict(3, 1.5, "verified")}
    assert len({key for key, _ in first}) == 2
    again.close()


def test_half_a_character_in_an_older_journal_stops_nothing(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    request = Request((("user", "Hi"),), 1)
    options: Any = {"max_new_tokens": 2, "temperature": 1.0}
    journal = SampleJournal(path)
    ((key, _),) = journal.generate(case.generator, [request], **options)
    journal.close()
    path.write_text(json.dumps({"sample": key, "text": "cold \ud83d tea", "n_tokens": 1, "finished": True}) + "\n")
    resumed = SampleJournal(path)
    ((_, found),) = resumed.generate(case.generator, [request], **options)
    resumed.close()
    assert found.text == "cold \ufffd tea"
    assert len(measure(case.extractor, [found.text])) == 1


def test_tokens_are_counted_by_way_and_by_outcome() -> None:
    journal = SampleJournal()
    journal.judge("a", Verdict(3, 1.5, "verified", "prompted", 20, 200, fired=True, counts_for=3))
    journal.judge("b", Verdict(3, 0.0, "copy", "prompted", 10, 100))
    journal.judge("c", Verdict(4, 0.0, "feature not active", "prompted+guided", 90, 800, fired=False))
    assert journal.by_way() == {"prompted": Tally(2, 1, 30, 300), "prompted+guided": Tally(1, 0, 90, 800)}
    assert journal.by_outcome()["copy"] == Tally(1, 0, 10, 100)
    assert str(journal.by_way()["prompted"]) == "1 of 2 accepted, 30 tokens decoded and 300 of prompts"


def test_what_was_not_measured_is_no_try_of_a_feature() -> None:
    journal = SampleJournal()
    for key, fired in (("a", True), ("b", False), ("c", None)):
        journal.judge(key, Verdict(3, 0.0, "some", "prompted", fired=fired))
    assert journal.tries() == {3: (1, 2)}


def test_a_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps({"verdict": "k", "feature": 3, "activation": 1.5, "outcome": "verified"}) + "\n")
    journal = SampleJournal(path)
    journal.close()
    assert journal.by_way() == {"not known": Tally(1, 1, 0, 0)}
    assert journal.tries() == {}
