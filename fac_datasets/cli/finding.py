"""`fac-datasets find`: the rows in which features fire most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Extraction, OutFile, Reading, with_features

if TYPE_CHECKING:
    from fac_datasets.feature_space import FeatureSpace
    from fac_datasets.features.extractor import FeatureExtractor

MOST = 10
"""Features whose rows are printed."""


@grouped
def find(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    extraction: Extraction,
    reading: Reading,
    features: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FEATURES]...", help="Ids; or words, all of which have to occur in the name of a feature."
        ),
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="TEXT", help="In their place: what this text activates most beside the rows.")
    ] = None,
    top: Annotated[int, typer.Option(help="Rows of each feature.")] = 20,
    names: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Feature table with names; default: names that ship.")
    ] = None,
    json_file: OutFile = None,
) -> None:
    """Find the rows in which features fire most; columns of an earlier extraction are used where they are there."""
    import json

    from fac_datasets.coverage.names import in_words, names_at_hand
    from fac_datasets.feature_space import dataset_space, require_same_but_threshold
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.interpretation.find import features_named, find_rows, found_in_words, require_choice
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.loading import load_rows

    require_choice(features or None, like, top)
    require_present(data, names)
    table = None if names is None else load_rows(names)
    rows = reading.load(data)
    extractor = extraction.extractor(reading.column)
    prefix = extractor.prefix(rows.features)
    if f"{prefix}feature_ids" in rows.column_names:
        space = dataset_space(rows, prefix)
        if like is not None:
            extractor = _reading_alike(extraction, reading, space)
            require_same_but_threshold(space, extractor.feature_space)
    else:
        space = extractor.feature_space
    known = names_at_hand(table, None, space).names
    # Words that no name has are told before anything is extracted.
    wanted = features_named([*map(int, features)] if _are_ids(features) else features, known) if features else None
    found = find_rows(
        with_features(rows, extractor),
        wanted,
        like=like,
        top=top,
        feature_names=known,
        extractor=extractor,
        column=reading.column,
    )
    of_features = list(dict.fromkeys(found["feature_id"]))
    shown = {*of_features[:MOST]}
    print(*found_in_words(found.select([i for i, id in enumerate(found["feature_id"]) if id in shown])), sep="\n")
    if len(of_features) > MOST:
        rest = of_features[MOST:]
        print(f"and {len(rest):,} features more, whose rows --json keeps: {in_words(rest, known)}")
    if json_file:
        values = {"feature_space": str(space), "rows": len(rows), "like": like, "found": found.to_list()}
        write_atomically(json_file, (json.dumps(values, indent=2) + "\n").encode())


def _are_ids(features: list[str]) -> bool:
    """Whether all words are numbers, as ids are."""
    return all(word.isascii() and word.isdecimal() for word in features)


def _reading_alike(extraction: Extraction, reading: Reading, space: FeatureSpace) -> FeatureExtractor:
    """An extractor that reads an example as the rows were read whose feature columns are there."""
    return extraction.extractor(
        reading.column,
        render=space.render,
        activation=space.activation,
        max_length=space.max_length,
        truncate=space.windowing == "cut",
        parts=space.parts,
    )
