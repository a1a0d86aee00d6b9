"""What is to happen at chosen requests: faults, and events in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Cut = Literal["before", "middle", "after", "silence", "page"]


@dataclass
class Trigger:
    """Waits for some of the requests that match."""

    match: str
    skip: int
    times: float

    def due(self, line: str) -> bool:
        """Whether it is meant for this request; every one that matches is counted, whatever else happens at it."""
        if not re.search(self.match, line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return self.times > 0


@dataclass
class Fault(Trigger):
    """What goes wrong with the requests."""

    status: int
    headers: Mapping[str, str]
    cut: Cut | None


@dataclass
class Event(Trigger):
    """What is done right before a request is handled."""

    action: Callable[[], object]
