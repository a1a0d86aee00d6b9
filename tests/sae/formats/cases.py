"""The SAEs of other libraries, with what their owners' code computes of them."""

from __future__ import annotations

import json

from tests.repository import REPOSITORY

FIXTURES = REPOSITORY / "tests" / "foreign_saes" / "fixtures"


CASES = {path.parent.name: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*/expected.json"))}


SUPPORTED = [name for name, case in CASES.items() if "refused" not in case]
