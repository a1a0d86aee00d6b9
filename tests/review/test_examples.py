"""Examples in docstrings that need a server run against a real one."""

from __future__ import annotations

import doctest
import importlib
from typing import Any

import pytest

from tests.servers.argilla.server import API_KEY, ArgillaServer
from tests.test_docs import SERVED
from tests.test_docs import names as names

pytestmark = [pytest.mark.slow, pytest.mark.embedded]


@pytest.mark.parametrize("module", SERVED)
def test_examples_in_docstrings(
    module: str, names: dict[str, Any], server: ArgillaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", API_KEY)
    result = doctest.testmod(importlib.import_module(module), extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0
