"""Checks that an installed fac-datasets is whole and of this checkout's version; `make dist` runs it.

    python -I tests/check_installation.py

It needs nothing but the installation: no test tools, no network, no embedded backbone.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def require(condition: bool, otherwise: str) -> None:
    """Stop unless a condition holds."""
    if not condition:
        sys.exit(f"this installation of fac-datasets is not good: {otherwise}")


def check_package() -> None:
    """The package imports from the environment, tells its version and carries its licence."""
    import fac_datasets

    place = Path(fac_datasets.__file__)
    require(place.is_relative_to(sys.prefix), f"it was imported from {place}, which is not in {sys.prefix}")
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    found = fac_datasets.__version__
    require(found == version, f"it says that it is {found}, and pyproject.toml that it is {version}")
    files = importlib.metadata.files("fac-datasets") or []
    require(any(file.match("*.dist-info/licenses/LICENSE") for file in files), "it lacks its LICENSE")
    require((place.parent / "py.typed").is_file(), "it lacks py.typed, so its types are not seen")


def check_command() -> None:
    """The command line starts."""
    command = Path(sys.prefix) / "bin" / "fac-datasets"
    result = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    require(result.returncode == 0, f"fac-datasets --help failed:\n{result.stderr}")


def check_metric() -> None:
    """The metric loads by its bare name and measures."""
    import evaluate

    found = evaluate.load("fac").compute(predictions=[[1, 2], [2]], references=[[1, 2, 3], [3, 4], []])
    require(found["fac"] == 0.5, f"the metric found {found}, and 0.5 is right")


def check_files() -> None:
    """Metrics, cards, Spaces and the embedded SAE are there, and the SAE loads."""
    from fac_datasets import load_sae
    from fac_datasets.files.resources import resource_folder
    from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER

    folders = {CHECKOUT / kind: resource_folder(kind) for kind in ("metrics", "cards", "spaces")}
    folders[CHECKOUT / "fac_datasets" / "sae" / "bundled"] = EMBEDDED_SAE_FOLDER
    for ours, installed in folders.items():
        wanted = [path.relative_to(ours) for path in ours.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        missing = [str(path) for path in wanted if not (installed / path).is_file()]
        require(not missing, f"{installed} lacks {', '.join(sorted(missing))}")
    load_sae("embedded")


if __name__ == "__main__":
    for check in (check_package, check_command, check_metric, check_files):
        check()
        print(check.__doc__)
