"""Names of the features of the SAE that ships with this package, which lie beside its weights.

`tests/benchmarks/name_features.py` makes the file.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fac_datasets.feature_space import FeatureSpace

if TYPE_CHECKING:
    import datasets

NAMES_FILE = "names.parquet"

SAE_DIGEST = b"sae_digest"
"""Key of the file's metadata that tells whose names they are."""


def shipped_names(space: FeatureSpace | str) -> datasets.Dataset | None:
    """The names of a space's features, where they are those of the embedded SAE; None for every other SAE.

    Args:
        space: its SAE's digest decides, so that names of another SAE are never shown.

    Returns:
        One row a feature that has a name: `feature_id`; `explanation`, the tokens where it peaks most and the word
        before them where that is nearly always the same; `explainer`; `spans`, one excerpt in which it fires, or none;
        `lexical`, the share of its activations above `q90` whose token is the commonest one, case and spaces folded,
        None where there are none; and `lexical_rows`, how many these are.

    Example:
        >>> space = FeatureExtractor().feature_space
        >>> shipped_names(space).column_names[:3]
        ['feature_id', 'explanation', 'explainer']
    """
    space = FeatureSpace.parse(space) if isinstance(space, str) else space
    digest, names = _file()
    return names if space.sae_digest == digest else None


@cache
def _file() -> tuple[str, datasets.Dataset]:
    """Whose names the file holds, and the names."""
    import datasets
    import pyarrow.parquet as pq

    from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER

    table = pq.read_table(EMBEDDED_SAE_FOLDER / NAMES_FILE)
    return table.schema.metadata[SAE_DIGEST].decode(), datasets.Dataset(datasets.table.InMemoryTable(table))
