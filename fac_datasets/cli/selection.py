"""`fac-datasets select`: few rows that cover many features, in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.cli.given import Given, Prefixes
from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import AnchorReading, Extraction, Out, Overwrite, Reading
from fac_datasets.errors import FacDatasetsError, OptionError, OutputError

if TYPE_CHECKING:
    from fac_datasets.coverage.state import FeatureCoverage

RECORD, SELECTION, CURVE = "run.json", "selection.json", "curve.png"


@grouped
def select(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    out: Out,
    extraction: Extraction,
    reading: Reading,
    anchor_reading: AnchorReading,
    prefixes: Prefixes,
    anchor: Annotated[
        str | None, typer.Option(metavar="ANCHOR", help="Stands for the target task; default: the dataset itself.")
    ] = None,
    threshold: Annotated[str, typer.Option(help="A number, or q50, q75, q90, q95, q99.")] = "q90",
    features: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Judged feature table; only relevant features are wanted.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Most rows.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Most own tokens of all rows together.")] = None,
    target: Annotated[float | None, typer.Option(help="Coverage at which to stop, above 0 and at most 1.")] = None,
    per_feature: Annotated[int, typer.Option(min=1, help="Rows wanted of each feature.")] = 1,
    quality: Annotated[str | None, typer.Option(metavar="COLUMN", help="Its numbers multiply gains.")] = None,
    feature_weights: Annotated[
        str | None, typer.Option(help="anchor_rows: by the rows that activate each; default: all alike.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Rows that one has already, or the state of an extraction (.safetensors)."),
    ] = None,
    per: Annotated[str | None, typer.Option(metavar="COLUMN", help="Choose within each of its values.")] = None,
    left_out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the rows that were left out.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Choose few rows that cover many features; columns of an earlier extraction are used where they are there."""
    import json
    from hashlib import sha256
    from importlib.metadata import version

    import numpy as np

    from fac_datasets.coverage.candidates import require_own_column
    from fac_datasets.coverage.relevant import require_features_of
    from fac_datasets.coverage.selection import Limits, parse_weights, select_covering_subset
    from fac_datasets.feature_space import FeatureSpace, parse_threshold, require_same_space
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.files.output_folder import claim
    from fac_datasets.files.parquet_layout import write_tables
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.dataset_identity import content_fingerprint
    from fac_datasets.rows.loading import load_rows

    wanted = parse_threshold(threshold)
    weights = parse_weights(feature_weights)
    limits = Limits.checked(size, tokens, target)
    if left_out is not None and left_out.absolute() == out.absolute():
        raise OutputError(f"--left-out {left_out} is the folder of --out; name another")
    state = _state(given)
    require_present(data, anchor, features, None if state else given)
    extractor = extraction.extractor(threshold="q50" if isinstance(wanted, str) else wanted, spans=False)
    arguments = {"data": Given(data, reading, prefixes.prefix)}
    if anchor is not None:
        arguments["anchor"] = Given(anchor, anchor_reading.reading(reading), prefixes.of_anchor)
    if given is not None and state is None:
        arguments["given"] = Given(given, reading, prefixes.prefix)
    # What is wrong with the last is found before the first is extracted.
    loaded = {role: argument.load() for role, argument in arguments.items()}
    for column, use in ((quality, "that holds a number for each row"), (per, "to group rows by")):
        if column is not None:
            require_own_column(loaded["data"].column_names, column, use)
    spaces = [argument.space(loaded[role], extractor) for role, argument in arguments.items()]
    for space in [*spaces[1:], *([FeatureSpace.parse(state.feature_space)] if state else [])]:
        require_same_space(spaces[0], space)
    table = None if features is None else load_rows(features)
    require_features_of(table, spaces[0])
    identity = {
        "command": "select",
        "version": version("fac-datasets"),
        "rows": {role: argument.identity(loaded[role], extractor) for role, argument in arguments.items()},
        "state": None if state is None else sha256(state.to_bytes()).hexdigest(),
        "features": None if table is None else content_fingerprint(table),
        "options": [wanted, *limits, per_feature, quality, weights, per, left_out is not None],
    }
    claimed: list[Path] = []
    try:
        for folder in [out] if left_out is None else [out, left_out]:
            is_new = claim(folder, RECORD, identity, parts=("data", CURVE, SELECTION), overwrite=overwrite)
            claimed += [folder] if is_new else []
        if (out / SELECTION).exists() and not claimed:
            print(f"{out} holds this finished run")
            _say(out, json.loads((out / SELECTION).read_text()))
            return
        # Rows are kept as they are, and read without a prefix of their columns, as those of the anchor are.
        loaded["data"] = arguments["data"].extracted(loaded["data"], extractor)
        read = {role: argument.with_features(loaded[role], extractor) for role, argument in arguments.items()}
        selection = select_covering_subset(
            read["data"],
            anchor=read.get("anchor"),
            features=table,
            threshold=wanted,
            **limits._asdict(),
            per_feature=per_feature,
            quality=quality,
            feature_weights=weights,
            given=state or read.get("given"),
            per=per,
        )
    except FacDatasetsError:
        for folder in claimed:
            _give_up(folder)
        raise
    rows = loaded["data"]
    write_tables({"default": {"train": rows.select(selection)}}, out)
    if left_out is not None:
        is_left = np.ones(len(rows), dtype=bool)
        is_left[selection.rows] = False
        write_tables({"default": {"train": rows.select(np.flatnonzero(is_left))}}, left_out)
    selection.plot(out / CURVE)
    found = {**selection.to_dict(), "n_rows": len(rows), "threshold": wanted, "feature_space": str(spaces[0])}
    # Last, since it says that the rest is there.
    write_atomically(out / SELECTION, (json.dumps(found, indent=2) + "\n").encode())
    _say(out, found)


def _say(out: Path, found: Mapping[str, Any]) -> None:
    """Print what was chosen, and what stays missing."""
    from fac_datasets.coverage.names import in_words, names_that_ship
    from fac_datasets.feature_space import FeatureSpace, format_threshold

    tokens = "" if found["tokens"] is None else f" with {found['tokens']:,} tokens"
    print(
        f"{out}: {len(found['rows']):,} of {found['n_rows']:,} rows{tokens} cover {found['n_covered']:,} of "
        f"{found['n_wanted']:,} features at "
        f"{format_threshold(found['threshold'])}, coverage {found['reached']:.3f}: {found['reason']}"
    )
    if found["missing"]:
        names = names_that_ship(FeatureSpace.parse(found["feature_space"])).names
        print(f"missing: {in_words(found['missing'], names)}")


def _state(name: str | None) -> FeatureCoverage | None:
    """The state in a file; None where the name is that of a dataset."""
    from safetensors import SafetensorError

    from fac_datasets.coverage.state import FeatureCoverage

    if name is None or not name.endswith(".safetensors"):
        return None
    try:
        return FeatureCoverage.load(name)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise OptionError(
            f"--given {name} cannot be read: {error}; give a file of coverage/ of an extraction"
        ) from error


def _give_up(folder: Path) -> None:
    """Leave nothing behind: with other options the run may succeed."""
    (folder / RECORD).unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
