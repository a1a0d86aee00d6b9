"""Put a trained, calibrated and judged SAE into the package, with the card that says how it was made.

python -m tests.benchmarks.embed_sae --sae FOLDER
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path

from fac_datasets.files.atomic import write_atomically
from fac_datasets.publishing.sae_card import sae_card
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER
from fac_datasets.sae.shipped_names import NAMES_FILE

REPOSITORY = Path(__file__).parent.parent.parent


def commands() -> str:
    """The commands of `make embedded-sae`, one a line."""
    printed = subprocess.run(["make", "-n", "embedded-sae"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    lines = re.sub(r"\s*\\\n\s*", " ", printed.stdout).splitlines()
    shown = [line.replace(".venv/bin/", "") for line in lines]
    return "\n".join(line for line in shown if re.match(r"fac-datasets |grep |python -m tests\.", line))


def embed(folder: Path) -> None:
    """Copy what ships, and write the card."""
    shutil.rmtree(EMBEDDED_SAE_FOLDER / "calibration", ignore_errors=True)
    for path in ("config.json", "model.safetensors", "report.json", NAMES_FILE, "calibration"):
        copy = shutil.copytree if (folder / path).is_dir() else shutil.copyfile
        copy(folder / path, EMBEDDED_SAE_FOLDER / path)
    write_card()


def write_card() -> None:
    """Write the card of what ships."""
    report = json.loads((EMBEDDED_SAE_FOLDER / "report.json").read_text())
    config = find_sae(EMBEDDED_SAE_FOLDER).config
    card = sae_card(config, report, backbone="embedded", name="embedded", commands=commands(), license="apache-2.0")
    write_atomically(EMBEDDED_SAE_FOLDER / "README.md", card.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sae", type=Path, required=True)
    embed(parser.parse_args().sae)
    size = sum(path.stat().st_size for path in EMBEDDED_SAE_FOLDER.rglob("*") if path.is_file())
    print(f"{EMBEDDED_SAE_FOLDER.name}: {size / 1e6:.2f} MB")
