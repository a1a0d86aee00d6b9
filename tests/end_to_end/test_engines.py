"""The extractor in many processes, in streams, in every form of dataset, and under Ray: always the same features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import FeatureCoverage, FeatureExtractor
from fac_datasets.feature_space import feature_columns
from tests.comparing import assert_same_features, features_of
from tests.repository import REPOSITORY
from tests.tiny import TEXTS

FORKED = """
import sys, multiprocess, torch
from datasets import Dataset
from fac_datasets import FeatureExtractor

multiprocess.set_start_method("fork", force=True)
# Both threads of the parent's pool are at work before it forks.
torch.set_num_threads(2)
torch.randn(1000, 1000) @ torch.randn(1000, 1000)
extractor = FeatureExtractor(sys.argv[1], sys.argv[2], threshold=0)
rows = Dataset.from_parquet(sys.argv[3])
extractor.extract(rows["text"])

mapped = rows.map(extractor, batched=True, batch_size=20, num_proc=2, load_from_cache_file=False)
mapped.to_parquet(sys.argv[4])
"""

CACHED = """
import sys, fac_datasets.features.extractor
from datasets import Dataset

if sys.argv[4] == "again":
    def refuse(*_, **__): raise AssertionError("a model was loaded")
    fac_datasets.features.extractor.Backbone = refuse
rows = Dataset.from_parquet(sys.argv[3], cache_dir=sys.argv[5])
extractor = fac_datasets.features.extractor.FeatureExtractor(sys.argv[1], sys.argv[2], threshold=0)
rows = rows.map(extractor, batched=True, num_proc=int(sys.argv[6]) or None)
print(sum(map(len, rows["feature_ids"])))
"""


def run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    top = REPOSITORY
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=top).stdout.strip()


@pytest.fixture
def rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS})


@pytest.fixture
def expected(rows: datasets.Dataset, tiny_extractor: FeatureExtractor) -> list[dict[int, float]]:
    return features_of(tiny_extractor.extract(rows["text"]))


@pytest.mark.slow
def test_forked_processes_do_not_wait_for_threads_of_a_parent_that_has_computed(
    rows: datasets.Dataset, expected: list[dict[int, float]], tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    run(FORKED, tiny_backbone, tiny_sae, tmp_path / "rows.parquet", tmp_path / "mapped.parquet")
    mapped = datasets.Dataset.from_parquet(str(tmp_path / "mapped.parquet"))
    assert_same_features(features_of(mapped[:]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("num_proc", [0, 2])
def test_a_second_run_in_a_new_process_reads_the_cache_and_loads_no_model(
    rows: datasets.Dataset, tiny_backbone: str, tiny_sae: str, tmp_path: Path, num_proc: int
) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    first, again = (
        run(CACHED, tiny_backbone, tiny_sae, tmp_path / "rows.parquet", turn, tmp_path / "cache", num_proc)
        for turn in ("first", "again")
    )
    assert first == again
    assert int(first) > 0


WORKERS = """
import sys, time, multiprocess
from fac_datasets.backbone.worker_threads import in_sound_thread

def threads(_):
    import torch
    in_sound_thread(lambda: None)
    barrier.wait()
    return in_sound_thread(torch.get_num_threads)

def keep(shared):
    global barrier
    barrier = shared

context = multiprocess.get_context(sys.argv[1])
if __name__ == "__main__":
    import torch
    torch.set_num_threads(4)
    with context.Pool(2, keep, (context.Barrier(2),)) as pool:
        print(sorted(pool.map(threads, range(2), chunksize=1)), end="")
"""


@pytest.mark.slow
def test_workers_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker of a pool gets its part of the threads that its parent would take."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    output = subprocess.run(
        [sys.executable, str(script), "fork"], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert output == "[2, 2]"


@pytest.mark.parametrize("form", [None, "numpy", "torch"])
def test_a_stream_gets_the_same_features(
    form: str | None, rows: datasets.Dataset, expected: list[dict[int, float]], tiny_extractor: FeatureExtractor
) -> None:
    stream = rows.to_iterable_dataset(num_shards=3).with_format(form)
    features = datasets.Features({**rows.features, **tiny_extractor.columns(rows.features)})
    mapped = stream.map(tiny_extractor, batched=True, batch_size=5, features=features)
    assert mapped.features == features
    found = list(mapped)
    assert_same_features(features_of({name: [row[name] for row in found] for name in found[0]}), expected)


def test_every_split_gets_the_columns(rows: datasets.Dataset, tiny_extractor: FeatureExtractor) -> None:
    splits = datasets.DatasetDict({"train": rows, "test": rows.select(range(3))})
    mapped = splits.map(tiny_extractor, batched=True)
    assert set(feature_columns()) < set(mapped["test"].column_names)
    assert mapped["train"][2] == mapped["test"][2]


@pytest.mark.parametrize("form", ["torch", "numpy", "pandas", "arrow"])
def test_formatted_data_gets_the_same_features(
    form: str, rows: datasets.Dataset, expected: list[dict[int, float]], tiny_extractor: FeatureExtractor
) -> None:
    mapped = rows.with_format(form).map(tiny_extractor, batched=True, batch_size=7).with_format(None)
    # pandas turns every column of strings into large strings.
    kept = [name for name in feature_columns() if form != "pandas" or name != "feature_space"]
    assert {name: mapped.features[name] for name in kept} == {name: feature_columns()[name] for name in kept}
    assert mapped["text"][:] == rows["text"][:]
    assert_same_features(features_of(mapped[:]), expected)


@pytest.mark.parametrize("form", ["torch", "numpy", "arrow"])
def test_formatted_chats_get_the_same_features(form: str, tiny_extractor: FeatureExtractor) -> None:
    chats = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in pairwise(TEXTS)]
    rows = datasets.Dataset.from_dict({"messages": chats})
    plain, formatted = (
        some.map(tiny_extractor, batched=True).with_format(None) for some in (rows, rows.with_format(form))
    )
    assert formatted.features == plain.features
    assert formatted["feature_messages"] == plain["feature_messages"]
    assert_same_features(features_of(formatted[:]), features_of(plain[:]))


def test_rank_and_indices_may_come_in_any_company(
    rows: datasets.Dataset, expected: list[dict[int, float]], tiny_extractor: FeatureExtractor
) -> None:
    for given in ({"with_rank": True}, {"with_rank": True, "with_indices": True}):
        assert_same_features(features_of(rows.map(tiny_extractor, batched=True, **given)[:]), expected)


def test_data_from_a_generator_gets_the_same_features(
    expected: list[dict[int, float]], tiny_extractor: FeatureExtractor, tmp_path: Path
) -> None:
    made = datasets.Dataset.from_generator(lambda: ({"text": text} for text in TEXTS), cache_dir=str(tmp_path))
    assert_same_features(features_of(made.map(tiny_extractor, batched=True)[:]), expected)


STREAMED = """
import sys
from datasets import IterableDataset
from fac_datasets import FeatureExtractor
from tests.memory import peak_mb

def generate():
    for number in range(100_000):
        if number == 20_000:
            print(peak_mb())
        yield {"text": f"Row {number}."}

extractor = FeatureExtractor(sys.argv[1], sys.argv[2])
state = extractor.empty_coverage("q90")
for batch in IterableDataset.from_generator(generate).map(extractor, batched=True).iter(1000):
    state.update(batch)
print(peak_mb())
print(state.n_rows, len(state.covered))
"""


@pytest.mark.slow
def test_streaming_coverage_keeps_memory_flat(tiny_backbone: str, tiny_sae: str) -> None:
    early, late, counts = run(STREAMED, tiny_backbone, tiny_sae).splitlines()
    n_rows, n_covered = map(int, counts.split())
    assert n_rows == 100_000
    assert n_covered > 0
    assert float(late) - float(early) < 40


def test_merged_coverages_equal_the_coverage_of_all(rows: datasets.Dataset, tiny_extractor: FeatureExtractor) -> None:
    mapped = rows.map(tiny_extractor, batched=True)
    whole = tiny_extractor.empty_coverage(0.5).update(mapped[:])
    merged = tiny_extractor.empty_coverage(0.5)
    for shard in range(5):
        part = tiny_extractor.empty_coverage(0.5).update(mapped.shard(5, shard)[:])
        merged = merged.merge(FeatureCoverage.from_bytes(part.to_bytes()))
    assert merged.to_bytes() == whole.to_bytes()


@pytest.fixture(scope="module")
def local_ray() -> Iterator[Any]:
    # Two for the actors; without others the tasks that feed them would wait for ever.
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("batch_format", ["pyarrow", "numpy"])
def test_two_actors_of_ray_give_the_same_features_and_coverage(
    local_ray: Any,
    batch_format: str,
    expected: list[dict[int, float]],
    tiny_extractor: FeatureExtractor,
    tiny_backbone: str,
    tiny_sae: str,
) -> None:
    from fac_datasets.features.ray_data import CoverageAggregation

    rows = datasets.Dataset.from_dict({"text": TEXTS[:8]})
    mapped = (
        local_ray.data.from_huggingface(rows)
        .repartition(4)
        .map_batches(
            FeatureExtractor,
            fn_constructor_args=(tiny_backbone, tiny_sae),
            fn_constructor_kwargs={"threshold": 0},
            batch_format=batch_format,
            batch_size=2,
            concurrency=2,
        )
        .materialize()
    )
    found = mapped.to_pandas().set_index("text").loc[TEXTS[:8]]
    assert_same_features(features_of(found), expected[:8])
    state = mapped.aggregate(CoverageAggregation(tiny_extractor.empty_coverage(0.5)))
    merged = FeatureCoverage.from_bytes(next(iter(state.values())))
    whole = tiny_extractor.empty_coverage(0.5).update(rows.map(tiny_extractor, batched=True)[:])
    assert np.array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.maxima, whole.maxima, atol=1e-4)
    assert (merged.n_rows, merged.n_tokens) == (whole.n_rows, whole.n_tokens)
