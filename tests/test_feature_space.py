"""When two feature spaces are the same."""

from __future__ import annotations

import pytest

from fac_datasets.errors import FeatureSpaceMismatch
from fac_datasets.feature_space import require_same_but_threshold
from tests.servers.argilla.fixtures import SPACE


def test_spaces_that_differ_in_their_cut_off_alone_are_the_same() -> None:
    require_same_but_threshold(SPACE, SPACE.replace(">0", ">q50"))
    with pytest.raises(FeatureSpaceMismatch):
        require_same_but_threshold(SPACE, SPACE.replace("/raw/", "/chat/"))
