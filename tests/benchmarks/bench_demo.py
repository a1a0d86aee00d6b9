"""Run the demo into a new folder and record what it prints, its scores and how long it takes.

python -m tests.benchmarks.bench_demo
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.record import RESULTS, write_result


def main() -> None:
    """Measure one run of `python -m fac_datasets.demo`."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "fac-demo"
        started = time.monotonic()
        command = [sys.executable, "-m", "fac_datasets.demo", "--out", str(out)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.monotonic() - started
        report = json.loads((out / "report.json").read_text())
        picture = (out / "coverage.png").read_bytes()
    scores = {
        name: {anchor: {key: report_of[key] for key in ("fac", "low", "high")} for anchor, report_of in reports.items()}
        for name, reports in {"seed": report["before"], **report["after"]}.items()
    }
    figures = {
        "seconds": round(seconds, 1),
        "scores": scores,
        "gain": report["gain"],
        "aimed_at": len(report["targets"]["aimed_at"]),
        "covered": len(report["targets"]["covered"]),
        "samples": report["samples"],
        "decoded_tokens": report["decoded_tokens"],
        "added_rows": report["added_rows"],
        "added_tokens": report["added_tokens"],
        "output": result.stdout.replace(str(out), "fac-demo").splitlines(),
    }
    print(write_result("demo", figures))
    # After the record, for which a new picture would be a change that was not committed.
    (RESULTS / "demo.png").write_bytes(picture)


if __name__ == "__main__":
    main()
