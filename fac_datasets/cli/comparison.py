"""`fac-datasets compare`: what one dataset has and another lacks, what pairs teach, and how many datasets overlap."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from fac_datasets.cli.given import identity_of
from fac_datasets.cli.groups import grouped
from fac_datasets.cli.interpretation import identity_of_table
from fac_datasets.cli.options import (
    Extraction,
    HtmlFile,
    OutIfAny,
    Overwrite,
    Reading,
    Seed,
    with_features,
)
from fac_datasets.errors import FacDatasetsError, OptionError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.tables import without_prefix

if TYPE_CHECKING:
    import datasets

    from fac_datasets.coverage.matrix import CoverageMatrix
    from fac_datasets.features.extractor import FeatureExtractor

RECORD, REPORT, PICTURE = "compare.json", "report.json", "comparison.png"


@dataclass(frozen=True)
class _OtherReading:
    """What is read of the second dataset, where it is not what is read of the first."""

    other_column: Annotated[
        str | None,
        typer.Option(help="The same of the second dataset, or of the second side of pairs; default: that of --column."),
    ] = None
    other_split: Annotated[str | None, typer.Option(help="The same of the second dataset.")] = None


class _Read:
    """Datasets with the column that is read of each, and one extractor, and so one model, for all of them."""

    def __init__(
        self, given: Sequence[tuple[datasets.Dataset, str | None]], extractor: FeatureExtractor, *, is_one: bool
    ) -> None:
        self.given, self.extractor = given, extractor
        self.is_one = is_one
        """Whether it is several columns of one dataset."""

    def identity(self) -> list[Any]:
        """What decides the features of all of them; what is wrong with the last is found before the first is read."""
        from fac_datasets.feature_space import FeatureSpace, require_same_space

        found, spaces = [], []
        for rows, column in self.given:
            self.extractor.column = column
            of_rows = identity_of(rows, self.extractor)
            found.append([column, *of_rows])
            spaces.append(FeatureSpace.parse(of_rows[1]))
        for other in spaces[1:]:
            require_same_space(spaces[0], other)
        return found

    def extracted(self) -> list[datasets.Dataset]:
        """All of them with feature columns."""
        found: list[datasets.Dataset] = []
        for rows, column in self.given:
            self.extractor.column = column
            found.append(with_features(found[-1] if self.is_one and found else rows, self.extractor))
        return found

    def without_prefixes(self) -> list[datasets.Dataset]:
        """The same, of which the feature columns have lost their prefixes."""
        found = []
        for (_, column), rows in zip(self.given, self.extracted(), strict=True):
            self.extractor.column = column
            found.append(without_prefix(rows, self.extractor.prefix(rows.features)))
        return found


@grouped
def compare(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Datasets: each a file, a folder or a Hub id.")],
    extraction: Extraction,
    reading: Reading,
    other: _OtherReading,
    paired: Annotated[
        bool,
        typer.Option("--paired", help="Rows belong together: chosen and rejected of one dataset, or rows of two."),
    ] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="How much of each one's features the others have, of two or more.")
    ] = False,
    threshold: Annotated[str, typer.Option(help="Of active rows: a number, or q50, q75, q90, q95, q99.")] = "q90",
    features: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Judged feature table; only relevant features count.")
    ] = None,
    names: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Feature table with names; default: names that ship.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="False discovery rate.")] = 0.05,
    spans: Annotated[int, typer.Option(help="Example spans of a feature on each side.")] = 3,
    out: OutIfAny = None,
    html: HtmlFile = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Say what A has and B lacks, by features: two datasets, pairs, or a matrix of many.

    Columns of an earlier extraction are used where they are there: at threshold 0, or for a matrix at any.
    """
    from fac_datasets.coverage.matrix import coverage_matrix, matrix_in_words
    from fac_datasets.feature_space import parse_threshold
    from fac_datasets.interpretation.compare import compare as compare_rows
    from fac_datasets.interpretation.comparison import Comparison, comparison_in_words
    from fac_datasets.interpretation.paired import compare_pairs
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.loading import load_rows

    wanted = parse_threshold(threshold)
    _require_number(data, other, html, paired=paired, matrix=matrix)
    require_present(*data, features, names)
    is_one = len(data) == 1
    columns: list[str | None] = [reading.column] * len(data)
    if is_one:
        columns = [reading.column or "chosen", other.other_column or "rejected"]
    elif other.other_column:
        columns[1] = other.other_column
    splits = [reading.split, other.other_split or reading.split] if not matrix else [reading.split] * len(data)
    loaded = [Reading(None, split).load(name) for name, split in zip(data, splits, strict=False)]
    tables = {name: load_rows(given) for name, given in (("features", features), ("names", names)) if given}
    stored = ("q50" if isinstance(wanted, str) else wanted) if matrix else 0
    read = _Read(
        [(rows, column) for rows, column in zip(loaded * (2 if is_one else 1), columns, strict=True)],
        extraction.extractor(threshold=stored, spans=not matrix),
        is_one=is_one,
    )
    called = [str(column) for column in columns] if is_one else _names(data)
    identity = {
        "kind": "matrix" if matrix else "pairs" if paired else "datasets",
        "rows": read.identity(),
        "tables": {name: identity_of_table(table) for name, table in tables.items()},
        "names": called,
        "options": [wanted, *([] if matrix else [alpha, spans, seed])],
    }

    def measured() -> CoverageMatrix:
        given = dict(zip(called, read.without_prefixes(), strict=True))
        return coverage_matrix(given, threshold=wanted, features=tables.get("features"))

    def compared() -> Comparison:
        first, second = read.extracted()
        options: dict[str, Any] = {
            "threshold": wanted,
            "alpha": alpha,
            "features": tables.get("features"),
            "feature_names": tables.get("names"),
            "spans": spans,
            "column": columns[0],
            "other_column": columns[1],
            "names": (called[0], called[1]),
            "seed": seed,
        }
        if paired:
            return compare_pairs(second, **options) if is_one else compare_pairs(first, second, **options)
        return compare_rows(first, second, **options)

    table, report = _finish(out, identity, measured if matrix else compared, overwrite)
    print("\n".join(matrix_in_words(report) if matrix else comparison_in_words(report)))
    if html:
        write_atomically(html, Comparison.from_dict(table, report).to_html().encode())


def _require_number(
    data: Sequence[str], other: _OtherReading, html: Path | None, *, paired: bool, matrix: bool
) -> None:
    """Raise OptionError where so many datasets cannot be compared in this way."""
    if matrix:
        if paired or html or other.other_column or other.other_split:
            raise OptionError("--matrix goes without --paired, --html, --other-column and --other-split")
        if len(data) < 2:
            raise OptionError(f"--matrix needs at least two datasets, and there is {len(data)}")
    elif paired and len(data) not in (1, 2):
        raise OptionError(f"--paired takes one dataset with the columns of both sides, or two, and not {len(data)}")
    elif not paired and len(data) != 2:
        raise OptionError(
            f"compare takes two datasets, and not {len(data)}; --paired takes one of preferences, --matrix any number"
        )


def _names(data: Sequence[str]) -> list[str]:
    """What to call datasets, each otherwise."""
    from fac_datasets.rows.data_files import short_name

    names: list[str] = []
    for name in map(short_name, data):
        number = sum(known == name or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({number + 1})" if number else name)
    return names


class _Found(Protocol):
    """What is written into a folder."""

    @property
    def table(self) -> datasets.Dataset:
        """One row a feature, or a row each two datasets."""

    def to_dict(self) -> dict[str, Any]:
        """The report."""

    def plot(self, path: str | Path) -> None:
        """Save the picture."""


def _finish(
    out: Path | None, identity: dict[str, Any], make: Callable[[], _Found], overwrite: bool
) -> tuple[datasets.Dataset, dict[str, Any]]:
    """Table and report of what is found, written into a folder where one is named, or read where it is finished."""
    from importlib.metadata import version

    from fac_datasets.files.output_folder import TABLE, claim, write_table
    from fac_datasets.rows.loading import load_rows

    if out is None:
        found = make()
        return found.table, found.to_dict()
    identity = {"command": "compare", "version": version("fac-datasets"), **identity}
    claimed = claim(out, RECORD, identity, parts=("data", PICTURE, REPORT), overwrite=overwrite)
    if (out / REPORT).exists():
        print(f"{out} holds this finished run")
        return load_rows(str(out / TABLE)), json.loads((out / REPORT).read_text())
    try:
        found = make()
    except FacDatasetsError:
        if claimed:
            (out / RECORD).unlink()
            # Nothing else is there, but what somebody else has put there meanwhile.
            with suppress(OSError):
                out.rmdir()
        raise
    write_table(out, found.table)
    found.plot(out / PICTURE)
    # The report comes last: where it is, everything is.
    write_atomically(out / REPORT, (json.dumps(found.to_dict(), indent=2) + "\n").encode())
    return found.table, found.to_dict()
