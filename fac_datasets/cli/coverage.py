"""`fac-datasets coverage`: how much of an anchor's features a dataset activates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Extraction, Reading, Seed, dataset_name


@grouped
def coverage(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    anchor: Annotated[str, typer.Argument(metavar="ANCHOR", help="Dataset that stands for the target task.")],
    extraction: Extraction,
    reading: Reading,
    threshold: Annotated[str, typer.Option(help="A number, or q50, q75, q90, q95, q99.")] = "q90",
    features: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Judged feature table; only relevant features count.")
    ] = None,
    all_metrics: Annotated[bool, typer.Option("--all-metrics", help="Other measures beside it, of both.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the report.")] = None,
    seed: Seed = 0,
) -> None:
    """Measure a dataset's coverage of an anchor; columns of an earlier extraction are used where they are there."""
    import json

    from fac_datasets.coverage.interval import with_interval
    from fac_datasets.coverage.report import coverage as measure
    from fac_datasets.diversity.all_measures import MOST_ROWS, all_measures, measures_table
    from fac_datasets.feature_space import dataset_space, parse_threshold, require_table_space
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.rows.loading import load_rows
    from fac_datasets.rows.text_columns import row_texts

    wanted = parse_threshold(threshold)
    table = None if features is None else load_rows(features)
    stored = "q50" if isinstance(wanted, str) else wanted
    extractor = extraction.extractor(reading.column, threshold=stored, spans=False)
    tables = []
    for name in (data, anchor):
        rows = reading.load(name)
        prefix = extractor.prefix(rows.features)
        there = f"{prefix}feature_ids" in rows.column_names
        if table is not None:
            require_table_space(table, dataset_space(rows, prefix) if there else extractor.feature_space)
        tables.append(rows if there else rows.map(extractor, batched=True))
    names = (dataset_name(data), dataset_name(anchor))
    report = measure(*tables, threshold=wanted, features=table, prefix=prefix, seed=seed, names=names)
    print(
        f"FAC {with_interval(report.to_dict())}: {names[0]} covers {len(report.covered):,} of the "
        f"{len(report.relevant):,} features of {names[1]} at {threshold}"
    )
    values: dict[str, Any] = report.to_dict()
    if all_metrics:
        measures = all_measures(
            {role: row_texts(table, reading.column) for role, table in zip(("dataset", "anchor"), tables, strict=True)}
        )
        values["measures"] = {**measures, "dataset": {"fac": report.fac, **measures["dataset"]}}
        print("\n" + measures_table(values["measures"]))
        if max(map(len, tables)) > MOST_ROWS:
            print(
                f"\nFAC is of all rows, the other measures of {MOST_ROWS:,} rows drawn at random from a larger dataset"
            )
    if json_file:
        write_atomically(json_file, (json.dumps(values, indent=2) + "\n").encode())
