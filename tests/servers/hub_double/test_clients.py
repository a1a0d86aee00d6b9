"""The clients in this process and in others are led to the double, and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi, HfFileSystem, constants, hf_hub_download, scan_cache_dir

from tests.servers.hub_double import Hub, connect, drop_connections, setting_modules
from tests.servers.hub_double.conftest import CONFIG

pytestmark = pytest.mark.slow


def test_each_test_has_an_empty_hub_and_empty_caches(hub: Hub) -> None:
    assert not hub.repositories
    assert Path(constants.HF_HUB_CACHE).is_relative_to(hub.home)
    assert datasets.config.HF_DATASETS_CACHE.is_relative_to(hub.home)
    hub.seed("me/sae", {"config.json": CONFIG})
    hf_hub_download("me/sae", "config.json")
    assert [repo.repo_id for repo in scan_cache_dir().repos] == ["me/sae"]


def test_a_subprocess_meets_the_same_hub(hub: Hub) -> None:
    hub.seed("me/sae", {"config.json": CONFIG}, private=True)
    code = "from huggingface_hub import hf_hub_download; print(hf_hub_download('me/sae', 'config.json'))"
    path = Path(subprocess.check_output([sys.executable, "-c", code], env=hub.environment(), text=True).strip())
    assert path.read_bytes() == CONFIG
    assert path.is_relative_to(hub.home)


def test_everything_is_as_before_afterwards(tmp_path: Path) -> None:
    before = [dict(vars(module)) for module in setting_modules()]
    with Hub(tmp_path) as running, pytest.MonkeyPatch.context() as patch:
        connect(running, patch)
        running.seed("me/sae", {"config.json": CONFIG})
        assert HfApi().model_info("me/sae").sha
        assert [dict(vars(module)) for module in setting_modules()] != before
        drop_connections()
    assert [dict(vars(module)) for module in setting_modules()] == before
    assert not HfFileSystem._cache
    assert running.requests() == ["GET /api/models/me/sae"]
