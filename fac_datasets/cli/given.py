"""Dataset arguments whose feature columns are used where they are there, and extracted where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fac_datasets.cli.options import Reading, with_features
from fac_datasets.errors import ColumnError
from fac_datasets.rows.tables import without_prefix

if TYPE_CHECKING:
    import datasets

    from fac_datasets.feature_space import FeatureSpace
    from fac_datasets.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Prefixes:
    """What the names of feature columns that are there begin with."""

    prefix: Annotated[
        str | None, typer.Option(help="Of the feature columns that are there; default: as --column says.")
    ] = None
    anchor_prefix: Annotated[
        str | None, typer.Option(help="The same of the anchor; default: that of --prefix, or as its column says.")
    ] = None

    @property
    def of_anchor(self) -> str | None:
        """That of the anchor."""
        return self.prefix if self.anchor_prefix is None else self.anchor_prefix


@dataclass(frozen=True)
class Given:
    """A dataset argument whose features are read."""

    name: str
    reading: Reading
    prefix: str | None
    """Of feature columns that have to be there; None where they are extracted unless they are there."""

    def load(self) -> datasets.Dataset:
        return self.reading.load(self.name)

    def space(self, rows: datasets.Dataset, extractor: FeatureExtractor) -> FeatureSpace:
        """The space of the features that are there, or will be."""
        from fac_datasets.feature_space import dataset_space
        from fac_datasets.rows.data_files import short_name

        try:
            prefix = self._prefix(rows, extractor)
            if self.prefix is not None or f"{prefix}feature_ids" in rows.column_names:
                return dataset_space(rows, prefix)
        except ColumnError as error:
            raise ColumnError(f"{short_name(self.name)}: {error}") from error
        return extractor.feature_space

    def extracted(self, rows: datasets.Dataset, extractor: FeatureExtractor) -> datasets.Dataset:
        """The rows with feature columns, as they are or extracted now."""
        self._prefix(rows, extractor)
        return with_features(rows, extractor) if self.prefix is None else rows

    def with_features(self, rows: datasets.Dataset, extractor: FeatureExtractor) -> datasets.Dataset:
        """The rows with feature columns, which have lost their prefix."""
        return without_prefix(self.extracted(rows, extractor), self._prefix(rows, extractor))

    def identity(self, rows: datasets.Dataset, extractor: FeatureExtractor) -> list[str]:
        """What decides the rows and their features; see `identity_of`."""
        prefix = self._prefix(rows, extractor)
        return [*identity_of(rows, extractor, prefix), self.reading.column or ""]

    def _prefix(self, rows: datasets.Dataset, extractor: FeatureExtractor) -> str:
        # One extractor, and so one model, reads both.
        extractor.column = self.reading.column
        return extractor.prefix(rows.features) if self.prefix is None else self.prefix


def identity_of(rows: datasets.Dataset, extractor: FeatureExtractor, prefix: str | None = None) -> list[str]:
    """What decides the features of rows: their content, the space that they are in or will be in, and what is there."""
    from fac_datasets.feature_space import dataset_space
    from fac_datasets.rows.dataset_identity import content_fingerprint, features_fingerprint

    prefix = extractor.prefix(rows.features) if prefix is None else prefix
    if f"{prefix}feature_space" in rows.column_names:
        return [content_fingerprint(rows), str(dataset_space(rows, prefix)), features_fingerprint(rows, prefix)]
    skipping = ["skip_bad"] if extractor.skip_bad else []
    return [content_fingerprint(rows), str(extractor.feature_space), extractor.dtype, *skipping]
