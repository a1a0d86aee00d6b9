"""`fac-datasets coverage`: how much of an anchor's features a dataset activates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fac_datasets.cli.given import Given, Prefixes
from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import AnchorReading, Extraction, OutFile, Reading, Seed, kept_report


@grouped
def coverage(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    anchor: Annotated[str, typer.Argument(metavar="ANCHOR", help="Dataset that stands for the target task.")],
    extraction: Extraction,
    reading: Reading,
    anchor_reading: AnchorReading,
    prefixes: Prefixes,
    threshold: Annotated[str, typer.Option(help="A number, or q50, q75, q90, q95, q99.")] = "q90",
    features: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Judged feature table; only relevant features count.")
    ] = None,
    missing_of: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="Report of a seed (--json): how much of what it was missing is reached."),
    ] = None,
    count: Annotated[
        str, typer.Option(help="What of a feature counts: binary (that it is active), rows or activation.")
    ] = "binary",
    names: Annotated[
        str | None,
        typer.Option(
            "--names", metavar="TABLE", help="Feature table with names; default: --features, or names that ship."
        ),
    ] = None,
    all_metrics: Annotated[bool, typer.Option("--all-metrics", help="Other measures beside it, of both.")] = False,
    json_file: OutFile = None,
    seed: Seed = 0,
) -> None:
    """Measure a dataset's coverage of an anchor; columns of an earlier extraction are used where they are there."""
    import json

    from fac_datasets.coverage.interval import with_interval
    from fac_datasets.coverage.names import in_words, names_of
    from fac_datasets.coverage.relevant import require_features_of
    from fac_datasets.coverage.report import coverage as measure
    from fac_datasets.coverage.report import require_count
    from fac_datasets.coverage.shares import counted_by, shares_in_words
    from fac_datasets.diversity.all_measures import MOST_ROWS, all_measures, measures_table
    from fac_datasets.feature_space import parse_threshold, require_same_space
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.rows.data_files import require_present, short_name
    from fac_datasets.rows.loading import load_rows
    from fac_datasets.rows.reader import row_texts

    wanted = parse_threshold(threshold)
    counted = require_count(count)
    require_present(data, anchor, features, names)
    table, named = (None if given is None else load_rows(given) for given in (features, names))
    of_seed = None if missing_of is None else kept_report(missing_of, "--missing-of")
    stored = "q50" if isinstance(wanted, str) else wanted
    extractor = extraction.extractor(threshold=stored, spans=False)
    given = [
        Given(data, reading, prefixes.prefix),
        Given(anchor, anchor_reading.reading(reading), prefixes.of_anchor),
    ]
    # What is wrong with the second is found before the first is extracted.
    loaded = [each.load() for each in given]
    spaces = [each.space(rows, extractor) for each, rows in zip(given, loaded, strict=True)]
    require_same_space(*spaces)
    require_features_of(table, spaces[0])
    names_of(named, spaces[0])
    tables = [each.with_features(rows, extractor) for each, rows in zip(given, loaded, strict=True)]
    called = (short_name(data), short_name(anchor))
    report = measure(
        *tables,
        threshold=wanted,
        features=table,
        missing_of=of_seed,
        count=counted,
        feature_names=named,
        seed=seed,
        names=called,
    )
    values: dict[str, Any] = report.to_dict()
    print(
        f"FAC{counted_by(values)} {with_interval(values)}: {called[0]} covers {len(report.covered):,} of the "
        f"{len(report.relevant):,} features of {called[1]} at {threshold}"
    )
    print("\n".join(shares_in_words(values)))
    if len(report.missing):
        print(f"missing: {in_words(values['missing'], report.feature_names.names)}")
    if all_metrics:
        texts = [row_texts(rows, each.reading.column) for each, rows in zip(given, tables, strict=True)]
        measures = all_measures(dict(zip(("dataset", "anchor"), texts, strict=True)))
        values["measures"] = {**measures, "dataset": {"fac": report.fac, **measures["dataset"]}}
        print("\n" + measures_table(values["measures"]))
        if max(map(len, tables)) > MOST_ROWS:
            print(
                f"\nFAC is of all rows, the other measures of {MOST_ROWS:,} rows drawn at random from a larger dataset"
            )
    if json_file:
        write_atomically(json_file, (json.dumps(values, indent=2) + "\n").encode())
