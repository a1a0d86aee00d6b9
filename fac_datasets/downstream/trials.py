"""A task tried once per seed, in a folder where each seed lands by itself, and the report over all of them."""

from __future__ import annotations

import json
import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fac_datasets.errors import DownstreamError, OptionError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.files.output_folder import alone_in, claim

SEEDS = (42, 43, 44)
"""The seeds of the paper's trials."""

REPORT, PLOT, RECORD, LOCK, TRIALS = "report.json", "report.png", "run.json", ".lock", "seeds"

LIBRARIES = ("fac-datasets", "torch", "transformers", "peft", "trl", "scikit-learn", "accelerate")
"""Those whose versions decide figures."""

Figures = Mapping[str, float]
"""What one trial measured, by name."""

logger = logging.getLogger(__name__)


def over_seeds(
    out: str | Path,
    identity: Mapping[str, Any],
    seeds: Sequence[int],
    trial: Callable[[int], Figures],
    *,
    about: Callable[[Mapping[int, Figures]], Mapping[str, Any]] = lambda _figures: {},
    plot: Callable[[Mapping[str, Any]], bytes] | None = None,
    parts: Sequence[str] = (),
    kept: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Try a task once per seed and report each figure's mean and deviation.

    Each trial lands as `seeds/<seed>.json` when it ends, so that a command that was killed goes on with the next one. A
    folder whose report is written is not tried again: its report is read.

    Args:
        out: the folder of the run.
        identity: what decides the figures, seeds and versions aside: `task`, fingerprints, digests, options.
        seeds: one trial each.
        trial: measures with a seed; its figures are finite, and the same names for every seed.
        about: further parts of the report, made of the figures of each seed: what was left out and counted, options.
        plot: makes the picture of the report.
        parts: other files and folders that trials leave in the folder.
        kept: files and folders that may be there before, and stay.
        overwrite: replace another run in the folder.

    Returns:
        The report, as `report.json` holds it: what `identity` says, `seeds` with the figures of each, `mean` and
        `deviation` (with n - 1; None of a single seed) of each figure, `seconds` of each seed, what `about` says, and
        `versions`.

    Raises:
        OptionError: no seed is given, or one twice.
        OutputError: the folder holds another run, or another process is at work there.
        DownstreamError: a figure is not finite.

    Example:
        >>> report = over_seeds("coin", {"task": "coin"}, (1, 2), lambda seed: {"heads": seed / 4})
        >>> report["seeds"], report["mean"]
        ({'1': {'heads': 0.25}, '2': {'heads': 0.5}}, {'heads': 0.375})
    """
    out = Path(out)
    if not seeds or len({*seeds}) < len(seeds):
        raise OptionError(f"seeds={list(seeds)} must name at least one seed, and none twice")
    # By way of JSON, in which a tuple is a list, so that a report is the same read and made.
    known = json.loads(json.dumps({**identity, "seeds": list(seeds), "version": version("fac-datasets")}))
    left = (TRIALS, REPORT, PLOT, *parts)
    claimed = claim(out, RECORD, known, parts=left, kept=(LOCK, *kept), overwrite=overwrite)
    with alone_in(out, RECORD, claimed=claimed, lock=LOCK, parts=left, dear=(TRIALS, *kept)):
        if (out / REPORT).exists():
            logger.info("%s holds this finished run", out)
            return _read(out / REPORT)
        landed = {seed: _landed(out / TRIALS / f"{seed}.json", seed, trial) for seed in seeds}
        figures = {seed: found["figures"] for seed, found in landed.items()}
        report = {
            **{name: value for name, value in known.items() if name not in ("seeds", "version")},
            "seeds": {str(seed): found for seed, found in figures.items()},
            **_over_all(list(figures.values())),
            "seconds": {str(seed): found["seconds"] for seed, found in landed.items()},
            **json.loads(json.dumps(about(figures))),
            "versions": _versions(),
        }
        if plot is not None:
            write_atomically(out / PLOT, plot(report))
        # Last, since it says that the rest is there.
        write_atomically(out / REPORT, (json.dumps(report, indent=2) + "\n").encode())
        return report


def in_words(report: Mapping[str, Any]) -> str:
    """The figures of a report in a line.

    Example:
        >>> in_words({"mean": {"auprc": 0.75}, "deviation": {"auprc": 0.0125}, "seeds": {"42": {}, "43": {}}})
        'auprc 0.750 ± 0.013 over 2 seeds'
        >>> in_words({"mean": {"auprc": 0.75}, "deviation": {"auprc": None}, "seeds": {"42": {}}})
        'auprc 0.750 with 1 seed'
    """
    n_seeds = len(report["seeds"])
    figures = [
        f"{name} {mean:.3f}" + ("" if (spread := report["deviation"][name]) is None else f" ± {spread:.3f}")
        for name, mean in report["mean"].items()
    ]
    return f"{', '.join(figures)} {f'over {n_seeds} seeds' if n_seeds > 1 else 'with 1 seed'}"


def _landed(path: Path, seed: int, trial: Callable[[int], Figures]) -> dict[str, Any]:
    """What a trial measured and the seconds it took, read where it has landed."""
    if path.exists():
        return _read(path)
    start = time.perf_counter()
    figures = {name: float(value) for name, value in trial(seed).items()}
    seconds = round(time.perf_counter() - start, 1)
    for name, value in figures.items():
        if not math.isfinite(value):
            raise DownstreamError(
                f"seed {seed} gave {name}={value}, which is no finite number: training has diverged; lower the "
                f"learning rate, or look at the rows"
            )
    write_atomically(path, (json.dumps({"figures": figures, "seconds": seconds}, indent=2) + "\n").encode())
    logger.info(
        "seed %s: %s; %.0f s", seed, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), seconds
    )
    return {"figures": figures, "seconds": seconds}


def _over_all(trials: Sequence[Figures]) -> dict[str, dict[str, float | None]]:
    """Mean and deviation of each figure over trials."""
    values = {name: [trial[name] for trial in trials] for name in trials[0]}
    return {
        "mean": {name: statistics.fmean(found) for name, found in values.items()},
        "deviation": {name: statistics.stdev(found) if len(found) > 1 else None for name, found in values.items()},
    }


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
