"""One trial a seed: each lands by itself, a killed run goes on, a finished one tells its report."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from fac_datasets.downstream.trials import SEEDS, in_words, over_seeds
from fac_datasets.errors import DownstreamError, OptionError, OutputError

COIN = {"task": "coin", "data": "0123"}


def heads(seed: int) -> dict[str, float]:
    return {"heads": seed / 100}


def test_a_report_holds_the_figures_of_each_seed_their_mean_and_deviation(tmp_path: Path) -> None:
    report = over_seeds(tmp_path, COIN, SEEDS, heads)
    assert report["seeds"] == {"42": {"heads": 0.42}, "43": {"heads": 0.43}, "44": {"heads": 0.44}}
    assert report["mean"] == {"heads": pytest.approx(0.43)}
    assert report["deviation"] == {"heads": pytest.approx(0.01)}
    assert report["task"] == "coin"
    assert "torch" in report["versions"]
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_a_single_seed_has_no_deviation(tmp_path: Path) -> None:
    report = over_seeds(tmp_path, COIN, (7,), heads)
    assert report["deviation"] == {"heads": None}
    assert in_words(report) == "heads 0.070 with 1 seed"


def test_a_run_that_was_stopped_goes_on_behind_the_last_seed_that_landed(tmp_path: Path) -> None:
    tried = []

    def stopped(seed: int) -> dict[str, float]:
        tried.append(seed)
        if len(tried) == 2:
            raise KeyboardInterrupt
        return heads(seed)

    with pytest.raises(KeyboardInterrupt):
        over_seeds(tmp_path, COIN, SEEDS, stopped)
    assert [path.name for path in (tmp_path / "seeds").iterdir()] == ["42.json"]
    over_seeds(tmp_path, COIN, SEEDS, stopped)
    assert tried == [42, 43, 43, 44]


def test_a_finished_run_tells_its_report_and_tries_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = over_seeds(tmp_path, COIN, SEEDS, heads)

    def never(seed: int) -> dict[str, float]:
        raise AssertionError(seed)

    with caplog.at_level(logging.INFO):
        assert over_seeds(tmp_path, COIN, SEEDS, never) == report
    assert "holds this finished run" in caplog.text


@pytest.mark.parametrize(("identity", "seeds"), [({**COIN, "data": "4567"}, SEEDS), (COIN, (1,))])
def test_a_folder_of_another_run_is_refused_unless_it_may_be_replaced(
    identity: dict[str, str], seeds: tuple[int, ...], tmp_path: Path
) -> None:
    over_seeds(tmp_path, COIN, SEEDS, heads)
    with pytest.raises(OutputError, match="--overwrite"):
        over_seeds(tmp_path, identity, seeds, heads)
    report = over_seeds(tmp_path, identity, seeds, lambda _seed: {"heads": 1}, overwrite=True)
    assert report["mean"] == {"heads": 1}
    assert len(list((tmp_path / "seeds").iterdir())) == len(seeds)


def test_a_task_adds_its_parts_and_its_plot(tmp_path: Path) -> None:
    report = over_seeds(
        tmp_path,
        COIN,
        SEEDS,
        heads,
        about=lambda figures: {"left_out": {"empty": 2}, "best": max(figures, key=lambda seed: figures[seed]["heads"])},
        plot=lambda report: f"{report['mean']['heads']:.2f}".encode(),
    )
    assert (report["left_out"], report["best"]) == ({"empty": 2}, 44)
    assert (tmp_path / "report.png").read_bytes() == b"0.43"


def test_figures_that_are_not_finite_are_an_error_and_do_not_land(tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match="seed 42 gave heads=nan"):
        over_seeds(tmp_path / "out", COIN, SEEDS, lambda _seed: {"heads": math.nan})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_have_to_be_some_and_different(seeds: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="none twice"):
        over_seeds(tmp_path, COIN, seeds, heads)
