"""Leads the clients to the double, in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import datasets.config
import huggingface_hub.hf_api
import pytest
from huggingface_hub import HfFileSystem
from huggingface_hub.utils import _cache_assets, _cache_manager, _git_credential

from tests.servers.hub_double.server import CLIENT_FOLDERS, Hub


def _settings(hub: Hub) -> dict[str, object]:
    """What the clients read once, when they are imported, and what it has to be."""
    return {
        "ENDPOINT": hub.url,
        "HF_ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HUB_DATASETS_URL": f"{hub.url}/datasets/{{repo_id}}/resolve/{{revision}}/{{path}}",
        "HUB_EVALUATE_URL": f"{hub.url}/spaces/{{path}}/resolve/{{revision}}/{{name}}",
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
        "HF_EVALUATE_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
        "HF_UPDATE_DOWNLOAD_COUNTS": False,
        "USE_PARQUET_EXPORT": False,
        **{name: hub.home / folder for name, folder in CLIENT_FOLDERS.items()},
        "HF_CACHE_HOME": hub.home,
        "HF_STORED_TOKENS_PATH": hub.home / "stored_tokens",
        "DOWNLOADED_DATASETS_PATH": hub.home / "datasets" / "downloads",
        "EXTRACTED_DATASETS_PATH": hub.home / "datasets" / "downloads" / "extracted",
        "DOWNLOADED_EVALUATE_PATH": hub.home / "evaluate" / "downloads",
    }


def setting_modules() -> list[ModuleType]:
    """The modules that hold the settings or a copy of them; `evaluate` where it is loaded, since that takes long."""
    modules = [huggingface_hub.constants, _cache_assets, _cache_manager, _git_credential, datasets.config]
    return modules + [sys.modules[name] for name in ("evaluate.config",) if name in sys.modules]


def connect(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    """Lead the clients in this process to a double, logged in as `me`, with empty caches, until the patch is undone.

    A module that copies these settings when it is imported must be imported before, or it keeps them for good.
    """
    for module in setting_modules():
        for name, value in _settings(hub).items():
            if name in vars(module):
                patch.setattr(module, name, type(vars(module)[name])(value))
    patch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
    patch.setattr(huggingface_hub.hf_api.api, "_whoami_cache", {})
    for variable in ("HF_TOKEN", "NO_PROXY", "no_proxy"):
        patch.setenv(variable, hub.environment()[variable])
    for variable in ("HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        patch.delenv(variable, raising=False)
    drop_connections()


def drop_connections() -> None:
    """Let the clients forget their connections and the file systems they know."""
    huggingface_hub.close_session()
    HfFileSystem.clear_instance_cache()


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, which `huggingface_hub` and `datasets` take for the real one during the test."""
    with Hub(tmp_path_factory.mktemp("huggingface")) as running:
        connect(running, monkeypatch)
        yield running
        drop_connections()
