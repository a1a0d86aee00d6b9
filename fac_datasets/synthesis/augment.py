"""Augmented datasets: the seed, the synthetic rows, and both together, with their provenance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, DatasetError, SynthesisError
from fac_datasets.files.parquet_layout import CONFIGS, Tables, write_tables
from fac_datasets.rows.dataset_identity import source_columns
from fac_datasets.rows.reader import RowReader
from fac_datasets.rows.row import plain_text
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.synthesize import synthetic_features

if TYPE_CHECKING:
    import datasets

PROVENANCE = (
    "synthetic_id", "target_feature", "target_name", "target_activation", "target_threshold", "method", "attempt",
    "generator", "prompt_digest", "steering_strength", "seed", "feature_space",
)  # fmt: skip
"""Columns of the provenance table."""


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
        no_provenance = dataset_of([], synthetic_features()).select_columns(list(PROVENANCE))
        splits = {split: read.get(f"default/{split}", no_rows) for split in CONFIGS["default"]}
        return cls(datasets.DatasetDict(splits), read.get("provenance/train", no_provenance))


def augment(
    seed: datasets.Dataset, synthetic: datasets.Dataset, keep: str = "accepted", *, column: str | None = None
) -> AugmentedDataset:
    """Join a seed dataset with synthetic rows.

    Args:
        seed: the dataset as it was; feature columns are left out.
        synthetic: what `synthesize` returned, or that after review.
        keep: `"accepted"` leaves out rows that a review dropped (column `accepted`); `"all"` keeps them.
        column: the seed's column that the texts go to; by default the one known name that is present.

    Raises:
        SynthesisError: `keep` has no meaning, or `synthetic` is not what `synthesize` returns.
        ColumnError: the seed has no column of texts, several, or one named `synthetic_id`.

    Example:
        >>> augmented = augment(seed, synthetic)
        >>> augmented.dataset["train"].column_names
        ['text', 'synthetic_id']
    """
    import datasets

    if keep not in ("accepted", "all"):
        raise SynthesisError(f"keep={keep!r} is neither 'accepted' nor 'all'")
    lacking = [name for name in ("text", *PROVENANCE) if name not in synthetic.column_names]
    if lacking:
        raise SynthesisError(f"the synthetic rows lack the columns {lacking}; pass what synthesize returned")
    if keep == "accepted" and "accepted" in synthetic.column_names:
        synthetic = synthetic.filter(lambda accepted: bool(accepted), input_columns="accepted")
    plain = seed.select_columns([name for name in seed.column_names if name in source_columns(seed)])
    if "synthetic_id" in plain.column_names:
        raise ColumnError("the seed already has a column 'synthetic_id'; rename it, or augment the original seed")
    reader = RowReader(plain.features, column)
    kinds = {name: _filled_type(kind) for name, kind in plain.features.items()}
    features = datasets.Features({**kinds, "synthetic_id": datasets.Value("string")})
    rows = [
        dict.fromkeys(plain.column_names) | reader.write(text) | {"synthetic_id": identifier}
        for text, identifier in zip(synthetic["text"], synthetic["synthetic_id"], strict=True)
    ]
    splits = {
        "seed": plain.add_column("synthetic_id", [None] * len(plain), feature=datasets.Value("string")),
        "synthetic": dataset_of(rows, features),
    }
    splits["seed"] = splits["seed"].cast(features)
    splits["train"] = datasets.concatenate_datasets([splits["seed"], splits["synthetic"]])
    return AugmentedDataset(datasets.DatasetDict(splits), synthetic.select_columns(list(PROVENANCE)))


def load_synthetic(name: str, column: str | None = None) -> datasets.Dataset:
    """Load synthetic rows with their provenance.

    Args:
        name: a dataset argument as of `load_rows`: rows that `synthesize` returned, or an augmented dataset.
        column: of an augmented dataset, holds the texts; by default the one known name that is present.

    Returns:
        Rows as `synthesize` returned them.

    Raises:
        DatasetError: nothing is there, or synthetic rows and provenance do not belong together.
    """
    from fac_datasets.rows.loading import load_rows

    rows = load_rows(name)
    if "synthetic_id" not in rows.column_names or "target_feature" in rows.column_names:
        return rows
    identifier, at, revision = name.partition("@")
    provenance = load_rows(f"{identifier.partition(':')[0]}:provenance{at}{revision}")
    written = rows.filter(lambda id: id is not None, input_columns="synthetic_id")
    contents = RowReader(rows.features, column).read(written.with_format("arrow")[:]) if len(written) else []
    texts = dict(zip(written["synthetic_id"], map(plain_text, contents), strict=True))
    if texts.keys() != {*provenance["synthetic_id"]}:
        raise DatasetError(
            f"dataset {name!r} has {len(texts)} synthetic rows, which are not the {len(provenance)} of its provenance"
        )
    return provenance.add_column("text", [texts[id] for id in provenance["synthetic_id"]])


def _without(rows: datasets.Dataset, synthetic_ids: Collection[str]) -> datasets.Dataset:
    return rows.select([row for row, id in enumerate(rows["synthetic_id"]) if id not in synthetic_ids])


def _filled_type(kind: Any) -> Any:
    """A column of nothing but None becomes a column of texts."""
    from datasets import Value

    return Value("string") if isinstance(kind, Value) and kind.dtype == "null" else kind
