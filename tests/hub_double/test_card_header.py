"""Headers of cards, checked by the double, seen through the real client."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi

from tests.hub_double import Hub


def test_a_card_with_broken_metadata_is_refused(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {})
    with pytest.raises(ValueError, match="Invalid metadata"):
        HfApi().upload_file(
            repo_id="me/talk", repo_type="dataset", path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md"
        )
