"""Shared objects: a tiny random Llama with a byte-level tokenizer, a tiny SAE on it, and extractors of both."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Before anything of Hugging Face is imported: no network, and caches of the tests' own.
_CACHE = tempfile.mkdtemp(prefix="fac-datasets-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
_USER_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fac-datasets"
_USER_CACHE = Path(os.environ.get("FAC_DATASETS_CACHE") or _USER_CACHE)
os.environ["FAC_DATASETS_CACHE"] = f"{_CACHE}/fac-datasets"
Path(os.environ["FAC_DATASETS_CACHE"]).mkdir()
for _kind in ("backbones", "packages"):
    # The embedded backbone and the packages are large and never change, so the user's own are used.
    (_USER_CACHE / _kind).mkdir(parents=True, exist_ok=True)
    Path(os.environ["FAC_DATASETS_CACHE"], _kind).symlink_to(_USER_CACHE / _kind)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HOME"] = f"{_CACHE}/huggingface"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Processes that run side by side share the cores.
    _threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(_threads))

import hypothesis
import numpy as np
import pytest

from fac_datasets import Backbone, FeatureExtractor
from tests.servers.argilla.fixtures import annotators as annotators
from tests.servers.argilla.fixtures import browser as browser
from tests.servers.argilla.fixtures import client as client
from tests.servers.argilla.fixtures import name as name
from tests.servers.argilla.fixtures import server as server
from tests.servers.hub_double import hub as hub
from tests.tiny import STRIPPING, TINY_LAYER, make_tiny_backbone, make_tiny_sae

# How long an example takes says nothing where tests run side by side.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random 3-block Llama of width 32 with a chat template."""
    return str(make_tiny_backbone(tmp_path_factory.mktemp("tiny-llama")))


@pytest.fixture(scope="session")
def backbone(tiny_backbone: str) -> Backbone:
    """The tiny backbone, loaded and cut after the tiny SAE's layer."""
    return Backbone(tiny_backbone, TINY_LAYER)


@pytest.fixture(scope="session")
def stripping_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same, with a template that strips the contents of messages, as Llama 3's does."""
    return str(make_tiny_backbone(tmp_path_factory.mktemp("stripping-llama"), STRIPPING))


@pytest.fixture(scope="session")
def plain_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same without a template, and wider than the tiny SAE."""
    return str(make_tiny_backbone(tmp_path_factory.mktemp("plain-llama"), None, width=48))


@pytest.fixture(scope="session")
def tiny_sae(tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random TopK SAE for layer 2 of the tiny backbone, calibrated for chat and raw."""
    return str(make_tiny_sae(Path(tiny_backbone), tmp_path_factory.mktemp("tiny-sae")))


@pytest.fixture
def tiny_extractor(tiny_backbone: str, tiny_sae: str) -> FeatureExtractor:
    """Extractor on the tiny pair that stores every positive activation."""
    return FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)
