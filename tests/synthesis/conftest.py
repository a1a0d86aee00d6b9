"""The case that the tests of synthesis share."""

from __future__ import annotations

import pytest

from tests.synthesis.cases import Case


@pytest.fixture(scope="module")
def case(tiny_backbone: str, tiny_sae: str) -> Case:
    return Case(tiny_backbone, tiny_sae)
