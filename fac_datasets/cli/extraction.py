"""`fac-datasets extract`: feature columns of a dataset, in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Extraction, Out, Overwrite, Reading


@grouped
def extract(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    out: Out,
    extraction: Extraction,
    reading: Reading,
    threshold: Annotated[str, typer.Option(help="Stored are activations above it: a number, q50, ..., q99.")] = "q50",
    coverage_threshold: Annotated[
        str | None, typer.Option(help="Of the coverage; default: q90, or the same number as --threshold.")
    ] = None,
    render: Annotated[str | None, typer.Option(help="chat or raw; default: chat where there is a template.")] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(help="Role whose messages are pooled; default: all but system. More than once."),
    ] = None,
    parts: Annotated[
        list[str] | None,
        typer.Option(help="Read of messages beside their texts: reasoning, tool_calls. More than once."),
    ] = None,
    escape_special: Annotated[
        bool, typer.Option("--escape-special", help="Read special tokens that a text spells as plain characters.")
    ] = False,
    max_length: Annotated[int, typer.Option(help="Tokens in a window; longer rows are read in several.")] = 512,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut longer rows instead.")] = False,
    batch_tokens: Annotated[int, typer.Option(help="Tokens in a padded batch.")] = 4096,
    spans: Annotated[bool, typer.Option(help="Store where each feature peaks.")] = True,
    shard: Annotated[str, typer.Option(help="Do part i of n, with i counted from 0.", metavar="i/n")] = "0/1",
    part_rows: Annotated[int, typer.Option(help="Rows in a file; what a killed run repeats at most.")] = 1000,
    engine: Annotated[
        str, typer.Option(help="'local': this process. 'ray': actors of a Ray cluster.", is_eager=True)
    ] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; default: Ray on this machine.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Ray actors; default: one a GPU, else one a node.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Attach feature columns to a dataset, as parquet files; run again, it goes on where it was stopped."""
    import json

    import datasets
    from tqdm.auto import tqdm

    from fac_datasets.errors import OptionError
    from fac_datasets.feature_space import parse_threshold
    from fac_datasets.features.extraction_job import ExtractionJob, parse_shard
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.rows.data_files import absolute_name, require_present

    require_present(data)
    stored = parse_threshold(threshold)
    default = "q90" if stored in ("q50", "q75", "q90") else stored
    if engine not in ("local", "ray"):
        raise OptionError(f"engine={engine!r} is neither 'local' nor 'ray'")
    index, count = parse_shard(shard)
    # Every process of this machine has to find them.
    extraction = replace(extraction, backbone=absolute(extraction.backbone), sae=absolute(extraction.sae))
    extractor = extraction.extractor(
        reading.column,
        threshold=stored,
        spans=spans,
        render=render,
        roles=roles,
        parts=parts or (),
        escape_special=escape_special,
        max_length=max_length,
        truncate=truncate,
        batch_tokens=batch_tokens,
    )
    wanted = parse_threshold(coverage_threshold or default)
    extractor.empty_coverage(wanted)
    job = ExtractionJob(absolute_name(data), out.absolute(), extractor, reading.split, part_rows)
    job.claim(overwrite=overwrite)
    shares = range(index, job.n_parts, count)
    missing = job.missing(shares)
    print(f"{out}: {len(shares) - len(missing)} of {len(shares)} parts are there")
    if engine == "ray" and missing:
        from fac_datasets.features.ray_data import write_parts_with_ray

        written = write_parts_with_ray(job, missing, address=address, workers=workers)
    else:
        written = map(job.write, missing)
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=sum(map(job.n_rows, missing)), unit="row", desc="extract", disable=quiet) as bar:
        for rows in written:
            bar.update(rows)
    state, bad = job.coverage(shares, wanted)
    unread = job.unread(shares)
    name = f"{index:05d}-of-{count:05d}"
    state.save(out / "coverage" / f"{name}.safetensors")
    report = {
        "rows": state.n_rows,
        "tokens": state.n_tokens,
        "covered": len(state.covered),
        "d_sae": state.d_sae,
        "threshold": wanted,
        "feature_space": state.feature_space,
        "bad_rows": bad,
        "unread": unread,
    }
    write_atomically(out / "reports" / f"{name}.json", (json.dumps(report, indent=2) + "\n").encode())
    print(
        f"{out}: {state.n_rows:,} rows, {state.n_tokens:,} tokens, {len(bad)} bad rows; "
        f"{len(state.covered):,} of {state.d_sae:,} features covered at {report['threshold']}"
    )
    if unread:
        print(f"{out}: not read of messages: {', '.join(f'{count:,} {kind}' for kind, count in unread.items())}")


def absolute(name: str) -> str:
    """A local folder as every process of this machine knows it; another name as it is."""
    return str(Path(name).absolute()) if Path(name).exists() else name
