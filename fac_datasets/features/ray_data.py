"""Ray: extraction by actors that keep the model, and coverage as an aggregation of Ray Data.

`FeatureExtractor` itself is what `map_batches` takes:

    rows = ray.data.from_huggingface(dataset).map_batches(
        FeatureExtractor, fn_constructor_kwargs={"threshold": "q50"}, batch_format="pyarrow", concurrency=2
    )
    found = rows.aggregate(CoverageAggregation(FeatureExtractor(threshold="q50").empty_coverage("q90")))
    state = FeatureCoverage.from_bytes(found["coverage"])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.data.aggregate import AggregateFnV2
from ray.data.block import BlockAccessor
from ray.util.actor_pool import ActorPool

from fac_datasets.coverage.state import FeatureCoverage
from fac_datasets.errors import OptionError
from fac_datasets.features.extraction_job import ExtractionJob


class CoverageAggregation(AggregateFnV2[bytes, bytes]):
    """The coverage of all rows of a Ray dataset with feature columns: `FeatureCoverage.from_bytes` reads its value.

    Args:
        empty: a coverage of no rows, as `FeatureExtractor.empty_coverage` gives it.
        prefix: of the feature columns, such as `"chosen_"`.
    """

    def __init__(self, empty: FeatureCoverage, prefix: str = "") -> None:
        self.empty, self.prefix = empty, prefix
        super().__init__(name="coverage", zero_factory=empty.to_bytes, on=None, ignore_nulls=False)

    def aggregate_block(self, block: Any) -> bytes:
        """The coverage of a block."""
        state = FeatureCoverage.from_bytes(self.empty.to_bytes())
        return state.update(BlockAccessor.for_block(block).to_arrow(), self.prefix).to_bytes()

    def combine(self, current_accumulator: bytes, new: bytes) -> bytes:
        """The coverage of two sets of blocks."""
        return FeatureCoverage.from_bytes(current_accumulator).add(FeatureCoverage.from_bytes(new)).to_bytes()


def write_parts_with_ray(
    job: ExtractionJob, parts: list[int], *, address: str | None = None, workers: int | None = None
) -> Iterator[int]:
    """Write parts by actors, each with a model of its own.

    Args:
        job: its data and its folder must be reachable under the same names from every node.
        parts: of the job.
        address: of a running cluster; by default a Ray on this machine.
        workers: actors; by default one a GPU, or one a node where there is none.

    Returns:
        Rows of each part, as they are done.

    Raises:
        OptionError: the cluster has no place for as many workers.
    """
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    workers = workers or gpus or len(nodes)
    cpus = _cpus_each([int(node.get("CPU", 0)) for node in nodes], workers)
    if not cpus or (gpus and workers > gpus):
        raise OptionError(f"workers={workers} do not fit: the cluster has {nodes}; ask for fewer (--workers)")
    # Ray gives an actor as many threads as CPUs. Writing a part twice does no harm, so a lost one is written again.
    actor = ray.remote(_PartWriter).options(
        num_cpus=cpus, num_gpus=1 if gpus else 0, max_restarts=-1, max_task_retries=3
    )
    pool: Any = ActorPool([actor.remote(job) for _ in range(workers)])
    written: Iterator[int] = pool.map_unordered(lambda writer, part: writer.write.remote(part), parts)
    return written


def _cpus_each(nodes: Sequence[int], workers: int) -> int:
    """The most CPUs that each worker can have, when each stays on one node; 0 where they do not fit."""
    return max((cpus for cpus in range(max(nodes), 0, -1) if sum(n // cpus for n in nodes) >= workers), default=0)


class _PartWriter:
    """An actor that keeps the model."""

    def __init__(self, job: ExtractionJob) -> None:
        self.job = job

    def write(self, part: int) -> int:
        return self.job.write(part)
