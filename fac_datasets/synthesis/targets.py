"""What to aim at: missing features in the order of their anchor rows, as planned, or as a list says.

- `targets_by_anchor_rows`: those that most anchor rows activate first.
- `planned_targets`: those whose anchor rows bring most other missing features first; see `fac_datasets.synthesis.plan`.
- `listed_targets`: those of a list, in its order; `read_targets` reads one from a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, active_rows, flatten_arrow, token_counts
from fac_datasets.coverage.gap import Gap
from fac_datasets.coverage.names import reviewed_name
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import OptionError, SynthesisError
from fac_datasets.feature_space import FeatureSpace, dataset_space, require_same_but_threshold, require_table_space
from fac_datasets.rows.inputs import feature_ids
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.tables import require_columns
from fac_datasets.sae.calibration import thresholds_of
from fac_datasets.sae.shipped_names import shipped_names
from fac_datasets.synthesis.plan import Aim, plan

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

ANCHOR_ROWS, PLANNED = "anchor-rows", "planned"
"""Ways to choose what to aim at."""

LEXICAL = 0.8
"""Share of a feature's activations that are on one token, from which on the feature is about this token."""

SAMPLE_TOKENS = 128
"""Tokens of a sample, of which a longer anchor row can bring only a part."""


@dataclass(frozen=True)
class Target:
    """A missing feature that samples are made for."""

    feature: int
    name: str
    """Empty where it has none."""
    threshold: float
    """What its activation has to exceed."""
    spans: tuple[Mapping[str, Any], ...]
    """Where it fires in the anchor, the strongest first; see `feature_table`."""
    together: tuple[int, ...] = ()
    """Other missing features that occur together with it in the anchor, and so need no target of their own."""
    row: int | None = None
    """Row of the anchor in whose manner a sample is to be; None where none was chosen."""


def chosen_targets(
    targets: str | Sequence[int] | Sequence[Target],
    report: CoverageReport | Gap,
    table: datasets.Dataset,
    anchor: datasets.Dataset | None = None,
    *,
    most: int | None = None,
    column: ColumnChoice = None,
    sample_tokens: int = SAMPLE_TOKENS,
) -> list[Target]:
    """What to aim at, in one of the ways of this file.

    Args:
        targets: `"anchor-rows"`, `"planned"`, ids, or targets as they are.
        report: says which features are missing, and at which threshold.
        table: feature table with spans of those features.
        anchor: the one of the report, with feature columns, for `"planned"`.
        most: targets.
        column: of the anchor that is measured.
        sample_tokens: of a sample.

    Returns:
        Targets; none where no feature is missing.

    Raises:
        OptionError: `targets` has no meaning, or a plan is asked for without an anchor.
        SynthesisError, FeatureSpaceMismatch: see the other functions of this file.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> 1 <= len(chosen_targets("planned", report, table, anchor, most=2)) <= 2
        True
    """
    if most == 0:
        return []
    if not isinstance(targets, str):
        listed: list[Any] = list(targets)[:most]
        are_chosen = all(isinstance(one, Target) for one in listed)
        return listed if are_chosen else listed_targets(report, table, listed)
    if targets not in (ANCHOR_ROWS, PLANNED):
        raise OptionError(f"targets={targets!r} is none of {[ANCHOR_ROWS, PLANNED]} and no list of ids")
    if not len(report.missing):
        return []
    if targets == ANCHOR_ROWS:
        return targets_by_anchor_rows(report, table, most=most)
    if anchor is None:
        raise OptionError(f"targets={targets!r} needs the anchor with its feature columns, as examples=")
    prefix = RowReader(anchor.features, column).prefix
    return planned_targets(report, table, anchor, most=most, sample_tokens=sample_tokens, prefix=prefix)


def targets_by_anchor_rows(
    report: CoverageReport | Gap, table: datasets.Dataset, *, most: int | None = None
) -> list[Target]:
    """Aim at the missing features that most anchor rows activate.

    Args:
        report: says which features are missing, and at which threshold.
        table: feature table with spans of those features.
        most: targets; by default all.

    Raises:
        SynthesisError: no feature is missing, or the table lacks one that is aimed at.
        FeatureSpaceMismatch: report and table are of different spaces.

    Example:
        >>> targets = targets_by_anchor_rows(report, feature_table(anchor, features=report.missing), most=2)
        >>> [target.feature for target in targets] == report.missing_by_anchor_rows[:2].tolist()
        True
    """
    return listed_targets(report, table, report.missing_by_anchor_rows[:most])


def listed_targets(
    report: CoverageReport | Gap, table: datasets.Dataset, features: Sequence[int] | NDArray[np.int64]
) -> list[Target]:
    """Aim at these features, in their order, each once.

    Args:
        report: says at which threshold a feature is active.
        table: feature table with spans of those features.
        features: ids, missing or not.

    Raises:
        OptionError: they are no list of ids.
        SynthesisError: there are none, or the table lacks one.
        FeatureSpaceMismatch: report and table are of different spaces.
    """
    wanted = dict.fromkeys(feature_ids(features, "features").tolist())
    return _described([Aim(feature) for feature in wanted], report, table)


def planned_targets(
    report: CoverageReport | Gap,
    table: datasets.Dataset,
    anchor: datasets.Dataset,
    *,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    most: int | None = None,
    sample_tokens: int = SAMPLE_TOKENS,
    prefix: str = "",
) -> list[Target]:
    """Aim at the missing features of those anchor rows that have most of them which no other target brings.

    Aimed at first are features that are not lexical, which would have a sample say one word; of these the relevant
    ones, and of these the ones with a name that people gave or confirmed, then the ones with another name. Within each
    rank the anchor's rows are covered greedily, features that occur together are one target, and no more than a tenth
    of `most` is of one cluster; see `fac_datasets.synthesis.plan.plan`. An anchor row that is longer than a sample
    counts for the part of its features that a sample of it would have.

    Args:
        report: says which features are missing, and at which threshold.
        table: feature table with spans; missing features that it lacks are not aimed at. Columns that are there are
            used: `lexical` (for the embedded SAE by default what ships with it), `evidence` (see `relevant_features`),
            `explanation`, `review_explanation` and `review_fits`.
        anchor: the one of the report, with feature columns.
        features: the ones that are still missing; by default all that the report says.
        most: targets; by default until every feature is one, or occurs together with one.
        sample_tokens: of a sample.
        prefix: of the feature columns, such as `"chosen_"`.

    Raises:
        SynthesisError: no feature is missing, the table has none of them, or the anchor is not the report's.
        OptionError: `features` is no list of ids.
        FeatureSpaceMismatch: report, table and anchor are of different spaces.
        ThresholdBelowStored: the report's threshold lies below the anchor's cut-off.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> targets = planned_targets(report, table, anchor, most=3)
        >>> all(target.feature in anchor[target.row]["feature_ids"] for target in targets)
        True
    """
    require_dataset(anchor, "the anchor")
    missing = report.missing if features is None else np.unique(feature_ids(features, "features"))
    if not len(missing):
        raise _nothing_missing()
    space = dataset_space(anchor, prefix)
    require_same_but_threshold(report.feature_space, space)
    _require_table_of(report, table)
    described = np.intersect1d(missing, _ids_with_spans(table))
    if not len(described):
        raise _lacking(missing, len(missing))
    active = active_rows(anchor, Cutoffs(space, report.threshold), prefix)
    elsewhere = np.setdiff1d(described, active.ids)
    if len(elsewhere):
        raise SynthesisError(
            f"no row of the anchor activates {len(elsewhere)} of {len(described)} missing features, first "
            f"{elsewhere[0]}; give the anchor that the report was made with"
        )
    weights = None
    if f"{prefix}feature_tokens" in anchor.column_names:
        weights = np.minimum(1.0, sample_tokens / np.maximum(1, token_counts(anchor, prefix)))
    aims = plan(active, described, ranks=_ranks(described, report, table), weights=weights, most=most)
    return _described(aims, report, table)


def read_targets(path: str | Path) -> list[int]:
    r"""Read features to aim at from a file, in its order.

    Args:
        path: of a text file with one id a line; or of a table with a column `feature_id`, in any form that
            `load_rows` reads, such as the one of `CoverageReport.missing_features`.

    Raises:
        DatasetError: there is no such file, or it cannot be read.
        ColumnError: it is a table without that column.
        OptionError: a line is no id.

    Example:
        >>> _ = Path("targets.txt").write_text("12\n7\n")
        >>> read_targets("targets.txt")
        [12, 7]
    """
    from fac_datasets.rows.loading import load_rows

    ids: list[Any] | None = _lines_of_ids(Path(path))
    if ids is None:
        table = load_rows(str(path))
        require_columns(table, "feature_id")
        ids = list(table["feature_id"])
    listed: list[int] = feature_ids(ids, str(path)).tolist()
    return listed


def _lines_of_ids(path: Path) -> list[int | str] | None:
    """The lines of a text file that starts with a digit, as whole numbers where they are; None of any other file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if not start[:1].isdigit():
        return None
    lines = path.read_text(encoding="utf-8").split()
    return [int(line) if line.isdecimal() else line for line in lines]


def _described(aims: Sequence[Aim], report: CoverageReport | Gap, table: datasets.Dataset) -> list[Target]:
    """Aims with what is known of their features."""
    if not aims:
        raise _nothing_missing()
    _require_table_of(report, table)
    with_spans = set(_ids_with_spans(table).tolist())
    lacking = [aim.feature for aim in aims if aim.feature not in with_spans]
    if lacking:
        raise _lacking(lacking, len(aims))
    wanted = {aim.feature for aim in aims}
    places = [place for place, feature in enumerate(table["feature_id"]) if feature in wanted]
    rows = {row["feature_id"]: row for row in table.select(places)}
    space = FeatureSpace.parse(report.feature_space)
    thresholds = thresholds_of(space, report.threshold, 1 + max(wanted))
    return [
        Target(
            aim.feature,
            reviewed_name(rows[aim.feature]) or report.feature_names.names.get(aim.feature, ""),
            float(thresholds[aim.feature]),
            tuple(rows[aim.feature]["spans"]),
            aim.together,
            aim.row,
        )
        for aim in aims
    ]


def _require_table_of(report: CoverageReport | Gap, table: datasets.Dataset) -> None:
    require_dataset(table, "the feature table")
    require_columns(table, "feature_id", "feature_space", "spans")
    require_table_space(table, FeatureSpace.parse(report.feature_space))


def _ids_with_spans(table: datasets.Dataset) -> NDArray[np.int64]:
    columns = table.select_columns(["feature_id", "spans"]).with_format("arrow")[:]
    ids: NDArray[np.int64] = columns["feature_id"].to_numpy().astype(np.int64)
    return ids[flatten_arrow(columns["spans"])[0] > 0]


def _ranks(features: NDArray[np.int64], report: CoverageReport | Gap, table: datasets.Dataset) -> list[int]:
    """In which turn to aim at each feature; those of the lowest rank come first."""
    names = {"feature_id", "lexical", "evidence", "explanation", "review_explanation", "review_fits"}
    known = {row["feature_id"]: row for row in table.select_columns(sorted(names & {*table.column_names}))}
    lexical = _lexical_features(report, table)
    ranks = []
    for feature in features.tolist():
        row = known[feature]
        name = reviewed_name(row) or report.feature_names.names.get(feature)
        is_reviewed = bool(row.get("review_explanation")) or row.get("review_fits") in ("yes", "probably")
        last_to_first = (feature in lexical, not row.get("evidence"), not name, not is_reviewed)
        ranks.append(int("".join(str(int(later)) for later in last_to_first), 2))
    return ranks


def _lexical_features(report: CoverageReport | Gap, table: datasets.Dataset) -> set[int]:
    """The features that are about one token, as far as it is known."""
    source = table if "lexical" in table.column_names else shipped_names(report.feature_space)
    if source is None:
        return set()
    shares = zip(source["feature_id"], source["lexical"], strict=True)
    return {feature for feature, share in shares if share is not None and share >= LEXICAL}


def _nothing_missing() -> SynthesisError:
    return SynthesisError("no feature is missing, so there is nothing to synthesize")


def _lacking(features: Sequence[int] | NDArray[np.int64], aimed_at: int) -> SynthesisError:
    return SynthesisError(
        f"the feature table lacks {len(features)} of the {aimed_at} features aimed at, the first being {features[0]}; "
        f"make it with feature_table(anchor, features=report.missing)"
    )
