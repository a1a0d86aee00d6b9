"""Augmented datasets: the seed, the synthetic rows, and both together, with their provenance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, DatasetError, SynthesisError
from fac_datasets.files.parquet_layout import CONFIGS, Tables, write_tables
from fac_datasets.rows.dataset_identity import source_columns
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import filled_type
from fac_datasets.synthesis.kinds.text import Text
from fac_datasets.synthesis.provenance import (
    ID,
    beside,
    contents_of,
    has_provenance,
    own_columns,
    provenance_features,
    provenance_of,
)
from fac_datasets.synthesis.samples import Sample

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class AugmentedDataset:
    """A dataset with the samples that it was missing."""

    dataset: datasets.DatasetDict
    """Splits `seed`, `synthetic` and `train`, with the same columns; `synthetic_id` is None for seed rows."""
    provenance: datasets.Dataset
    """One row a synthetic row: what it was made for, how, and what was measured."""

    def tables(self) -> Tables:
        """Rows by config and split."""
        return {
            "default": {str(split): rows for split, rows in self.dataset.items()},
            "provenance": {"train": self.provenance},
        }

    def without(self, synthetic_ids: Collection[str]) -> AugmentedDataset:
        """The same without some of the synthetic rows, in every split and in the provenance."""
        kept = {split: _without(rows, synthetic_ids) for split, rows in self.dataset.items()}
        return AugmentedDataset(type(self.dataset)(kept), _without(self.provenance, synthetic_ids))

    def save(self, folder: str | Path) -> dict[str, Any]:
        """Write parquet files laid out as the Hub expects them.

        Returns:
            What the header of the card has to hold, which is written apart: `configs` and `dataset_info`.
        """
        return write_tables(self.tables(), folder)

    @classmethod
    def load(cls, folder: str | Path) -> AugmentedDataset:
        """Read a folder that `save` wrote.

        Raises:
            DatasetError: it holds no augmented dataset.
        """
        import datasets

        read: dict[str, datasets.Dataset] = {}
        for config, splits in CONFIGS.items():
            for split, pattern in splits.items():
                files = sorted(map(str, Path(folder).glob(pattern)))
                if files:
                    read[f"{config}/{split}"] = datasets.Dataset.from_parquet(files)
        if "default/train" not in read or "default/seed" not in read:
            raise DatasetError(
                f"{folder} holds no augmented dataset, whose files are {CONFIGS['default']['train']}; make one with "
                f"fac-datasets run"
            )
        # Without synthetic rows there is neither that split nor a provenance.
        no_rows = dataset_of([], read["default/train"].features)
        no_provenance = dataset_of([], provenance_features())
        splits = {split: read.get(f"default/{split}", no_rows) for split in CONFIGS["default"]}
        return cls(datasets.DatasetDict(splits), read.get("provenance/train", no_provenance))


def augment(
    seed: datasets.Dataset, synthetic: datasets.Dataset, keep: str = "accepted", *, column: ColumnChoice = None
) -> AugmentedDataset:
    """Join a seed dataset with synthetic rows that have its columns.

    Args:
        seed: the dataset as it was; feature columns are left out.
        synthetic: what `synthesize` returned for this seed (`schema_of=seed`), or that after review. Rows of a `text`
            alone join seeds that hold nothing but texts for training.
        keep: `"accepted"` leaves out rows that a review dropped (column `accepted`); `"all"` keeps them.
        column: the seed's column that texts alone go to; by default the one known name that is present.

    Raises:
        SynthesisError: `keep` has no meaning, `synthetic` is not what `synthesize` returns, or its columns are not
            those of the seed.
        ColumnError: the seed has no column of texts, several, or one named `synthetic_id`.

    Example:
        >>> augmented = augment(seed, synthetic)
        >>> augmented.dataset["train"].column_names
        ['text', 'synthetic_id']
    """
    import datasets

    if keep not in ("accepted", "all"):
        raise SynthesisError(f"keep={keep!r} is neither 'accepted' nor 'all'")
    contents, provenance = contents_of(synthetic), provenance_of(synthetic)
    if keep == "accepted" and "accepted" in synthetic.column_names:
        kept = [place for place, accepted in enumerate(synthetic["accepted"]) if accepted]
        contents, provenance = contents.select(kept), provenance.select(kept)
    plain = seed.select_columns([name for name in seed.column_names if name in source_columns(seed)])
    if ID in plain.column_names:
        raise ColumnError(f"the seed already has a column {ID!r}; rename it, or augment the original seed")
    kinds = {name: filled_type(kind) for name, kind in plain.features.items()}
    added = _in_columns(contents, plain, datasets.Features(kinds), column)
    text = datasets.Value("string")
    features = datasets.Features({**kinds, ID: text})
    splits = {
        "seed": plain.add_column(ID, [None] * len(plain), feature=text).cast(features),
        "synthetic": added.add_column(ID, list(provenance[ID]), feature=text).cast(features),
    }
    splits["train"] = datasets.concatenate_datasets([splits["seed"], splits["synthetic"]])
    return AugmentedDataset(datasets.DatasetDict(splits), provenance)


def load_synthetic(name: str) -> datasets.Dataset:
    """Load synthetic rows with their provenance.

    Args:
        name: a dataset argument as of `load_rows`: rows that `synthesize` returned, or an augmented dataset.

    Returns:
        Rows as `synthesize` returned them: the user's columns, and the provenance beside them.

    Raises:
        DatasetError: nothing is there, or synthetic rows and provenance do not belong together.
    """
    from fac_datasets.rows.loading import load_rows

    rows = load_rows(name)
    if ID not in rows.column_names or has_provenance(rows):
        return rows
    identifier, at, revision = name.partition("@")
    provenance = load_rows(f"{identifier.partition(':')[0]}:provenance{at}{revision}")
    written = rows.filter(lambda id: id is not None, input_columns=ID)
    places = {id: place for place, id in enumerate(written[ID])}
    if places.keys() != {*provenance[ID]}:
        raise DatasetError(
            f"dataset {name!r} has {len(places)} synthetic rows, which are not the {len(provenance)} of its provenance"
        )
    contents = written.select([places[id] for id in provenance[ID]])
    contents = contents.select_columns(own_columns(contents))
    names = beside(contents.column_names)
    for column, there in names.items():
        contents = contents.add_column(there, list(provenance[column]), feature=provenance.features[column])
    return contents


def _in_columns(
    contents: datasets.Dataset, seed: datasets.Dataset, features: datasets.Features, column: ColumnChoice
) -> datasets.Dataset:
    """Synthetic rows in the columns of a seed."""
    if {*contents.column_names} == {*features}:
        contents = contents.select_columns(list(features))
        try:
            return contents.cast(features)
        except (TypeError, ValueError) as error:
            raise SynthesisError(
                f"the synthetic rows have columns of other types than the seed, {contents.features} and {features}: "
                f"{error}; make them with schema_of= the seed"
            ) from error
    kind = recognise(seed, column=column)
    if contents.column_names != ["text"] or kind.name != Text.name or len(kind.parts) > 1:
        raise SynthesisError(
            f"the synthetic rows have the columns {contents.column_names} and the seed has {list(features)}, the kind "
            f"{kind.name!r}; make them with schema_of= the seed, so that they have all that training reads"
        )
    (part,) = kind.parts
    return dataset_of([kind.cells(Sample({part: text})) for text in contents["text"]], features)


def _without(rows: datasets.Dataset, synthetic_ids: Collection[str]) -> datasets.Dataset:
    return rows.select([row for row, id in enumerate(rows["synthetic_id"]) if id not in synthetic_ids])
