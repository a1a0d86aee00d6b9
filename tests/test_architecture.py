"""The order of the floors: who imports whom, at the top of a file or inside a function, also for types alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fac_datasets

PACKAGE = Path(fac_datasets.__file__).parent

FLOORS = (
    "errors feature_space plots progress",
    "files",
    "rows",
    "backbone",
    "sae",
    "coverage",
    "features",
    "diversity",
    "evaluate_modules generation",
    "interpretation",
    "synthesis",
    "review publishing downstream",
    "pipeline",
    "explorer demo cli",
)
"""From the ground. A room imports what lies below it and, on its own floor, what stands to its left."""

EXCEPTIONS = {
    # Users of Hugging Face expect these two of a model's class.
    ("sae.model", "sae.loading"): "SparseAutoencoder.from_pretrained, push_to_hub",
    ("sae.model", "sae.calibration"): "SparseAutoencoder.push_to_hub",
    ("sae.model", "publishing.sae"): "SparseAutoencoder.push_to_hub",
    ("sae.model", "publishing.target"): "SparseAutoencoder.push_to_hub",
}


def imports() -> dict[str, set[str]]:
    """Modules of the package that each of its modules imports, without the exceptions."""
    files = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in files.items() if "_resources" not in name}
    found: dict[str, set[str]] = {}
    for importer, path in modules.items():
        found[importer] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fac_datasets":
                parent = (node.module or "").removeprefix("fac_datasets").removeprefix(".")
                for name in node.names:
                    inner = f"{parent}.{name.name}".removeprefix(".")
                    found[importer].add(inner if inner in modules else parent or "the package itself")
        found[importer] -= {imported for of, imported in EXCEPTIONS if of == importer}
    # The package itself lists what is public, and the command is its own entry.
    return {name: imported for name, imported in found.items() if name not in ("__init__", "__main__")}


def test_every_room_has_its_place() -> None:
    rooms = {module.partition(".")[0] for module in imports()}
    assert rooms <= {room for floor in FLOORS for room in floor.split()}


def test_imports_go_down_and_to_the_left() -> None:
    height = {room: (level, place) for level, floor in enumerate(FLOORS) for place, room in enumerate(floor.split())}
    upwards = [
        f"{importer} imports {imported}"
        for importer, several in imports().items()
        for imported in several
        if height.get(imported.partition(".")[0], (99, 0)) > height[importer.partition(".")[0]]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None


def test_every_exception_is_needed() -> None:
    for importer, imported in EXCEPTIONS:
        assert f"from fac_datasets.{imported} import" in (PACKAGE / f"{importer.replace('.', '/')}.py").read_text()


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # every import of torch fails
from importlib import import_module
from pkgutil import iter_modules
from fac_datasets import diversity
for room in ("coverage", "diversity"):
    for module in iter_modules(import_module(f"fac_datasets.{room}").__path__):
        import_module(f"fac_datasets.{room}.{module.name}")
texts = ["The cat sat.", "A dog ran."]
for name in ("distinct_n", "ngram_entropy", "pos_distinct_n", "compression_ratio", "near_duplicate_rate"):
    assert getattr(diversity, name)(texts)["n_rows"] == 2, name
"""


@pytest.mark.slow
def test_coverage_and_diversity_import_without_torch_and_texts_are_measured_without_it() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


BESIDE = {
    "cli/test_kept_reports.py",
    "cli/test_kept_tables.py",
    "diversity/test_bad_input.py",
    "diversity/test_measures_at_the_door.py",
    "diversity/test_novelsum_of_its_authors.py",
    "evaluate_modules/test_finding_metrics.py",
    "evaluate_modules/test_pages.py",
    "evaluate_modules/test_rows_and_options.py",
    "features/test_extraction_identity.py",
    "features/test_reading.py",
    "publishing/test_allowed_secrets.py",
    "publishing/test_faults.py",
    "publishing/test_memory.py",
    "publishing/test_reader.py",
    "publishing/test_refusals.py",
    "review/test_answers_during_a_push.py",
    "review/test_commands.py",
    "review/test_examples.py",
    "review/test_refusals.py",
    "review/test_two_pushes.py",
    "review/test_web_ui.py",
    "sae/formats/test_owners.py",
    "sae/formats/test_sae_lens_places.py",
    "sae/test_chunk_cache.py",
    "sae/test_finite_weights.py",
    "sae/test_named_backbone.py",
    "sae/training/test_changed_checkpoints.py",
    "sae/training/test_own_folder.py",
    "synthesis/filters/test_filters.py",
    "synthesis/test_long_examples.py",
}
"""Tests of a whole room, which mirror no file of it."""


def test_tests_mirror_the_package() -> None:
    tests = Path(__file__).parent
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    mirrored = [path for room in rooms for path in (tests / room).rglob("test_*.py")]
    of_nothing = [
        name
        for name in (path.relative_to(tests).as_posix() for path in mirrored)
        if name not in BESIDE
        and not (PACKAGE / name.replace("test_", "")).is_file()
        and not (PACKAGE / name.replace("test_", "").removesuffix(".py")).is_dir()
    ]
    assert of_nothing == []
    assert not {room for room in rooms if not (tests / room).is_dir()}
