"""What the library logs is said while somebody waits, and only then."""

from __future__ import annotations

import logging

from fac_datasets.progress import progress_said


def test_progress_is_said_only_while_it_is_asked_for() -> None:
    said: list[str] = []
    logger = logging.getLogger("fac_datasets.synthesis")
    level = logging.getLogger("fac_datasets").level
    with progress_said(said.append):
        logger.info("round %d", 1)
        logger.debug("a detail")
    logger.info("round %d", 2)
    assert said == ["round 1"]
    assert logging.getLogger("fac_datasets").level == level
