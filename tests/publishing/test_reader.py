"""What is published is read by the real client through a mirror of the Hub that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.publishing.conftest import Case
from tests.servers.hub_double import Hub
from tests.servers.hub_double.olah import olah as olah
from tests.servers.hub_double.olah import read_through

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("streaming", [False, True])
def test_all_configs_come_back(hub: Hub, olah: str, case: Case, tmp_path: Path, streaming: bool) -> None:
    features = case.augmented.dataset["train"].map(case.extractor, batched=True)
    case.publish(public=True, features=features, shard_bytes=100)
    expected = {
        "default": {split: rows.to_list() for split, rows in case.augmented.dataset.items()},
        "provenance": {"train": case.augmented.provenance.to_list()},
        "features": {"train": features.select_columns([c for c in features.column_names if "feature_" in c]).to_list()},
    }
    for config, splits in expected.items():
        (tmp_path / config).mkdir()
        assert read_through(olah, hub, tmp_path / config, "me/data", config, streaming) == splits
