"""What is to go wrong at chosen requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Cut = Literal["before", "middle", "after"]


@dataclass
class Fault:
    """What goes wrong with the requests that match."""

    match: str
    status: int
    times: float
    skip: int
    headers: Mapping[str, str]
    cut: Cut | None

    def strikes(self, line: str) -> bool:
        """Whether it befalls this request; counts down."""
        if self.times <= 0 or not re.search(self.match, line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True
