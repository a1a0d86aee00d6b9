"""A review to look at, for people who have no server yet: how to get one, and where one is installed, starting it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fac_datasets.coverage.report import CoverageReport, coverage
from fac_datasets.errors import ReviewError
from fac_datasets.features.extractor import FeatureExtractor
from fac_datasets.review.explanations import push_explanations
from fac_datasets.review.samples import push_samples

if TYPE_CHECKING:
    import argilla
    import datasets

HOW_TO_GET_A_SERVER = """\
A review needs an Argilla server, 2.1 or later. Ways to one:

On the Hub: open https://huggingface.co/new-space?template=argilla/argilla-template-space, take persistent storage
  (without it all answers are lost when the Space restarts), and sign in there with your Hugging Face account.

On a machine with Docker:
  curl -O https://raw.githubusercontent.com/argilla-io/argilla/main/examples/deployments/docker/docker-compose.yaml
  docker compose up -d      # http://localhost:6900

In a clone of this repository: `make argilla`, then this command again starts a server with two reviews to look at.

Then tell where it is, with the API key that its web UI shows under 'My settings', and push:
  export ARGILLA_API_URL=http://localhost:6900 ARGILLA_API_KEY=...
  fac-datasets review push explanations TABLE --name my-features --guideline toxicity
  fac-datasets review push samples AUGMENTED --name my-samples"""

ROWS = (40, 150)
"""Conversations of the demo's seed and anchor."""

FEATURES, SAMPLES = 20, 8
"""Missing features that are shown, beside as many covered ones, and those of them that samples are made for."""


def installed_server() -> Path | None:
    """The repository beside which `make argilla` has installed a server; None where there is none."""
    repository = Path(__file__).parents[2]
    return repository if (repository / ".venv-argilla" / ".installed").exists() else None


def run_demo(repository: Path, folder: Path, port: int) -> None:
    """Start the server, fill it with two reviews, and wait until this process is interrupted or terminated.

    Raises:
        ReviewError: the server does not start.
    """
    import argilla

    # A shell lets what it starts in the background ignore Ctrl-C; the server must not outlive this process.
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, signal.default_int_handler)
    try:
        with _server(repository, folder, port) as (server, access):
            push_example(argilla.Argilla(api_url=access["url"], api_key=access["api_key"]))
            print(f"open {access['url']}, user {access['username']}, password {access['password']!r}")
            print(f"for the commands: export ARGILLA_API_URL={access['url']} ARGILLA_API_KEY={access['api_key']}")
            print(f"Ctrl-C stops it; answers stay in {folder}, and the same command goes on", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("stopped")


def push_example(client: argilla.Argilla) -> None:
    """Send features of the demo's conversations, and samples made for them, unless they are there."""
    names = ("demo-features", "demo-samples")
    if {*names} <= {each.name for each in client.api.datasets.list()}:
        return
    extractor = FeatureExtractor(threshold=0)
    table, report, synthetic = example(extractor)
    push_explanations(table, names[0], client=client, guideline="helpfulness", report=report)
    push_samples(synthetic, names[1], client=client, extractor=extractor)


def example(extractor: FeatureExtractor) -> tuple[datasets.Dataset, CoverageReport, datasets.Dataset]:
    """Named features of the demo's conversations, what is missing among them, and samples made for it."""
    from fac_datasets.generation.local import LocalGenerator
    from fac_datasets.interpretation.explain import explain
    from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
    from fac_datasets.interpretation.scoring import score_explanations
    from fac_datasets.interpretation.table import feature_table
    from fac_datasets.rows.conversations import seed_and_anchor
    from fac_datasets.synthesis.synthesize import synthesize

    rows = [part.shuffle(seed=0).select(range(size)) for part, size in zip(seed_and_anchor(), ROWS, strict=True)]
    seed, anchor = (part.map(extractor, batched=True, desc="extract") for part in rows)
    report = coverage(seed, anchor)
    wanted = report.missing_by_anchor_rows[:FEATURES]
    others = report.covered[:: max(1, len(report.covered) // FEATURES)][:FEATURES]
    table = explain(feature_table(anchor, features=sorted({*wanted, *others})), TopTokensExplainer())
    synthetic = synthesize(
        report,
        table,
        extractor=extractor,
        generator=LocalGenerator(),
        examples=anchor,
        targets=wanted[:SAMPLES].tolist(),
        max_new_tokens=48,
    )
    return score_explanations(table), report, synthetic


@contextmanager
def _server(repository: Path, folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A server while this is open, and how to sign in."""
    options = ["--folder", str(folder.resolve()), "--port", str(port)]
    command = [sys.executable, "-m", "tests.servers.argilla.server", *options]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise ReviewError(
                    f"the Argilla server did not start on port {port}; what it says is above and in "
                    f"{folder / 'server.log'}. Is the port in use? Choose another with --port"
                )
            yield server, json.loads(line)
        finally:
            server.terminate()
