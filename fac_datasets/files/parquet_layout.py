"""How the tables of an augmented dataset lie in parquet files, on disk and on the Hub, and the header that says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import datasets

CONFIGS: Mapping[str, Mapping[str, str]] = {
    "default": {
        "seed": "data/seed-*.parquet",
        "synthetic": "data/synthetic-*.parquet",
        "train": "data/train-*.parquet",
    },
    "provenance": {"train": "provenance/train-*.parquet"},
    "features": {"train": "features/train-*.parquet"},
    "feature_table": {"train": "feature_table/train-*.parquet"},
}
"""Files by config and split."""

SHARD_BYTES = 500_000_000
"""Size of a file's rows in memory, at most; a single row may be larger."""

Tables = Mapping[str, Mapping[str, "datasets.Dataset"]]
"""Rows by config and split; a split without rows, which nobody could load, has no file."""


class _Written(NamedTuple):
    """What a split takes."""

    rows: int
    in_memory: int
    """Bytes."""
    on_disk: int
    """Bytes."""


def write_tables(tables: Tables, folder: str | Path, *, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """Write tables as parquet files; files of earlier tables in the same places are removed.

    Args:
        tables: rows by config and split.
        folder: made when missing.
        shard_bytes: most bytes of rows in a file.

    Returns:
        `configs` and `dataset_info`, as the header of a dataset card holds them.
    """
    written: dict[str, dict[str, _Written]] = {}
    for config, splits in tables.items():
        for split, rows in splits.items():
            found = _write(rows, Path(folder), CONFIGS[config][split], shard_bytes)
            if found.rows:
                written.setdefault(config, {})[split] = found
    return _header(tables, written)


def _write(rows: datasets.Dataset, folder: Path, pattern: str, shard_bytes: int) -> _Written:
    size = sum(batch.nbytes for batch in rows.with_format("arrow").iter(10_000))
    n_shards = min(len(rows), max(1, math.ceil(size / shard_bytes)))
    names = [pattern.replace("*", f"{shard:05}-of-{n_shards:05}") for shard in range(n_shards)]
    for stale in folder.glob(pattern):
        if stale.relative_to(folder).as_posix() not in names:
            stale.unlink()
    on_disk = 0
    for shard, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        rows.shard(n_shards, shard, contiguous=True).to_parquet(str(partial))
        partial.replace(path)
        on_disk += path.stat().st_size
    return _Written(len(rows), size, on_disk)


def _header(tables: Tables, written: Mapping[str, Mapping[str, _Written]]) -> dict[str, Any]:
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    configs, infos = MetadataConfigs(), DatasetInfosDict()
    for config, splits in written.items():
        configs[config] = {"data_files": [{"split": split, "path": CONFIGS[config][split]} for split in splits]}
        if config == "default":
            configs[config]["default"] = True
        sizes = SplitDict()
        for split, found in splits.items():
            sizes.add(SplitInfo(name=split, num_bytes=found.in_memory, num_examples=found.rows))
        infos[config] = DatasetInfo(
            features=next(iter(tables[config].values())).features,
            splits=sizes,
            download_size=sum(found.on_disk for found in splits.values()),
            dataset_size=sum(found.in_memory for found in splits.values()),
        )
    data = DatasetCardData()
    configs.to_dataset_card_data(data)
    infos.to_dataset_card_data(data)
    # A single config is written without a list and without its name; always the same form is easier to merge.
    described = data["dataset_info"]
    if isinstance(described, dict):
        described = [{"config_name": described.pop("config_name", "default"), **described}]
    return {"configs": data["configs"], "dataset_info": described}
