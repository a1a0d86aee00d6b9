"""What the tests of reviews share: rows to send, and the running server of `tests/conftest.py`."""

from tests.servers.argilla.fixtures import coverage_report as coverage_report
from tests.servers.argilla.fixtures import synthetic as synthetic
