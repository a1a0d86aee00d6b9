"""Extraction into a folder, part by part: a stopped job goes on, and any number of processes share the work.

Which rows a part holds depends on nothing but the dataset and `part_rows`, and a part that is there is whole. On
machines of one kind every part has the same bytes whoever writes it; on others activations may differ in the last bits.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
from pyarrow import parquet

from fac_datasets.coverage.state import FeatureCoverage
from fac_datasets.errors import DatasetError, OptionError, OutputError
from fac_datasets.feature_space import Threshold
from fac_datasets.features.extractor import FeatureExtractor
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.loading import load_rows

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "extraction.json"

_BATCH_ROWS = 1000
"""Rows that pass the extractor together."""

_READ_BACK = ("ids", "activations", "tokens", "space", "error")
"""Feature columns that coverage and report are made of."""

_MOST_PARTS = 99_999
"""`load_dataset` takes five digits in the name of a part."""

_FINGERPRINT_ROWS = 1_000_000
"""Rows by which a dataset is recognised at most; of a longer one every second, every third or so on."""


@dataclass(frozen=True)
class ExtractionJob:
    r"""What is extracted, and where to; small enough to send to any machine that sees the same files.

    Args:
        data: a dataset argument of the command line.
        out: folder for the parts.
        extractor: adds the feature columns.
        split: of the dataset.
        part_rows: rows in a part.

    Example:
        >>> _ = Path("mine.jsonl").write_text('{"text": "Hello."}\n')
        >>> job = ExtractionJob("mine.jsonl", Path("features"), FeatureExtractor())
        >>> job.claim()
        >>> [job.write(part) for part in job.missing(range(job.n_parts))]
        [1]
    """

    data: str
    out: Path
    extractor: FeatureExtractor
    split: str | None = None
    part_rows: int = 1000

    def __getstate__(self) -> dict[str, Any]:
        # Without the rows: each machine reads them for itself.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __post_init__(self) -> None:
        if self.part_rows < 1:
            raise OptionError(f"part_rows={self.part_rows} is too small; the least is 1")

    @cached_property
    def rows(self) -> datasets.Dataset:
        """The dataset, read on first use."""
        return load_rows(self.data, self.split)

    @property
    def n_parts(self) -> int:
        """Parts of the whole dataset.

        Raises:
            OptionError: there would be more than `load_dataset` finds by their names.
        """
        n_parts = -(-len(self.rows) // self.part_rows)
        if n_parts > _MOST_PARTS:
            raise OptionError(
                f"part_rows={self.part_rows} makes {n_parts:,} parts of {len(self.rows):,} rows; the limit is "
                f"{_MOST_PARTS:,}: use at least {-(-len(self.rows) // _MOST_PARTS):,}"
            )
        return n_parts

    def n_rows(self, part: int) -> int:
        """Rows of a part."""
        return min(self.part_rows, len(self.rows) - part * self.part_rows)

    def path(self, part: int) -> Path:
        """Where a part is written."""
        split = self.rows.split or "train"
        return self.out / "data" / f"{split}-{part:05d}-of-{self.n_parts:05d}.parquet"

    def missing(self, parts: Iterable[int]) -> list[int]:
        """Those of the parts that are still to be written."""
        return [part for part in parts if not self.path(part).exists()]

    def identity(self) -> dict[str, Any]:
        """What decides the bytes of the parts; a folder belongs to one identity."""
        step = -(-len(self.rows) // _FINGERPRINT_ROWS)
        return {
            "version": version("fac-datasets"),
            "rows": len(self.rows),
            "fingerprint": content_fingerprint(self.rows.select(range(0, len(self.rows), step))),
            "schema": self.extractor.reader(self.rows.features).schema.name,
            "feature_space": str(self.extractor.feature_space),
            "cutoffs": self.extractor.thresholds_digest(self.extractor.threshold),
            "dtype": self.extractor.dtype,
            "spans": self.extractor.spans,
            "skip_bad": self.extractor.skip_bad,
            "part_rows": self.part_rows,
        }

    def claim(self, *, overwrite: bool = False) -> None:
        """Make the folder this job's own.

        Args:
            overwrite: delete what another extraction left there.

        Raises:
            OutputError: it holds something else, or cannot be written.
        """
        if self.out.exists() and not self.out.is_dir():
            raise OutputError(f"{self.out} is a file; name a folder")
        wanted = json.dumps(self.identity(), indent=2) + "\n"
        record = self.out / RECORD
        if not record.exists() and self._holds_other_files() and not record.exists():
            raise OutputError(f"{self.out} is not empty and holds no extraction of fac-datasets; choose another folder")
        if record.exists() and record.read_text() != wanted:
            if not overwrite:
                raise OutputError(
                    f"{self.out} holds an extraction of other data or with other options; choose another folder, or "
                    f"--overwrite"
                )
            for folder in ("data", "coverage", "reports"):
                if (self.out / folder).exists():
                    shutil.rmtree(self.out / folder)
            record.unlink()
        if not record.exists():
            write_atomically(record, wanted.encode())

    def _holds_other_files(self) -> bool:
        # Another shard may be about to claim the folder for the same job.
        return self.out.exists() and any(not path.name.startswith(f".{RECORD}") for path in self.out.iterdir())

    def write(self, part: int) -> int:
        """Extract a part and write it; returns its rows.

        Raises:
            RowError: a row cannot be read, named by its index in the dataset.
        """
        begin = part * self.part_rows
        end = begin + self.n_rows(part)
        tables = [self.extractor(batch, range(start, start + len(batch))) for start, batch in self._batches(begin, end)]
        added = self.extractor.columns(self.rows.features)
        kept = {name: kind for name, kind in self.rows.features.items() if name not in added}
        schema = datasets.Features({**kept, **added})
        content = io.BytesIO()
        datasets.Dataset(datasets.table.concat_tables(tables), info=datasets.DatasetInfo(features=schema)).to_parquet(
            content
        )
        write_atomically(self.path(part), content.getvalue())
        return end - begin

    def _batches(self, begin: int, end: int) -> Iterator[tuple[int, pa.Table]]:
        rows = self.rows.with_format("arrow")
        for start in range(begin, end, _BATCH_ROWS):
            yield start, rows[start : min(start + _BATCH_ROWS, end)]

    def unread(self, parts: Iterable[int]) -> dict[str, int]:
        """How many things in the messages of parts are not read, by kind; see `fac_datasets.rows.messages`."""
        reader = self.extractor.reader(self.rows.features)
        if reader.has_parts:
            for part in parts:
                begin = part * self.part_rows
                for _, batch in self._batches(begin, begin + self.n_rows(part)):
                    reader.read(batch, refused=[])
        return dict(sorted(reader.unread.items()))

    def coverage(self, parts: Iterable[int], threshold: Threshold) -> tuple[FeatureCoverage, list[dict[str, Any]]]:
        """What written parts activate, and which of their rows could not be read.

        Returns:
            The coverage, and of each bad row its `row` in the dataset and the `problem`.
        """
        prefix = self.extractor.prefix(self.rows.features)
        state = self.extractor.empty_coverage(threshold)
        added = self.extractor.columns(self.rows.features)
        names = [name for name in added if name.removeprefix(f"{prefix}feature_") in _READ_BACK]
        bad: list[dict[str, Any]] = []
        for part in parts:
            table = parquet.read_table(self.path(part), columns=names)
            state.update(table, prefix)
            if self.extractor.skip_bad:
                problems = table.column(f"{prefix}feature_error").to_pylist()
                first = part * self.part_rows
                bad += [{"row": first + row, "problem": problem} for row, problem in enumerate(problems) if problem]
        return state, bad


def parse_shard(shard: str) -> tuple[int, int]:
    """`"i/n"` as two numbers, with i counted from 0.

    Raises:
        OptionError: it names no shard.

    Example:
        >>> parse_shard("0/8")
        (0, 8)
    """
    index, _, count = shard.partition("/")
    if not index.isdecimal() or not count.isdecimal() or not 0 <= int(index) < int(count):
        raise OptionError(f"shard={shard!r} is not i/n with i in [0, n), such as 0/8 for the first of eight")
    return int(index), int(count)


def shard_coverage(out: str | Path) -> FeatureCoverage:
    """The coverage of a folder that all shards have finished, merged from theirs.

    Args:
        out: folder of the extraction.

    Raises:
        DatasetError: no division into shards is complete.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted((Path(out) / "coverage").glob("*-of-*.safetensors")):
        found.setdefault(path.stem.partition("-of-")[2], []).append(path)
    for count, paths in found.items():
        if len(paths) == int(count):
            merged = FeatureCoverage.load(paths[0])
            for path in paths[1:]:
                merged.add(FeatureCoverage.load(path))
            return merged
    there = ", ".join(f"{len(paths)} of {int(count)} shards" for count, paths in found.items()) or "none"
    raise DatasetError(f"{out} holds no whole coverage ({there}); finish the extraction first")
