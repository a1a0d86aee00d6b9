"""Settings without meaning are errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fac_datasets.errors import OptionError
from tests.sae.training.cases import (
    SMALL,
)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n_tokens", 0),
        ("passes", 0),
        ("chunk_tokens", 0),
        ("batch_size", 1),
        ("k", 65),
        ("k_start", 100),
        ("precision", "float8"),
        ("renders", ("markdown",)),
    ],
)
def test_settings_without_meaning_are_errors(setting: str, value: Any) -> None:
    with pytest.raises(OptionError, match=setting.removesuffix("s")):
        dataclasses.replace(SMALL, **{setting: value})
