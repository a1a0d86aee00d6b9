"""Every example in a docstring, a README or a metric card runs, on the embedded pair where it needs a model."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import datasets
import evaluate
import pytest

import fac_datasets
from fac_datasets import review
from fac_datasets.evaluate_modules.registry import load_metric, metric_names
from fac_datasets.files.resources import resource_folder
from fac_datasets.generation import Request
from fac_datasets.interpretation.contrast import split_by_label
from fac_datasets.synthesis.provenance import synthetic_features

MODULES = sorted(module.name for module in pkgutil.walk_packages(fac_datasets.__path__, "fac_datasets."))
SERVED = ("fac_datasets.review.explanations", "fac_datasets.review.samples")
"""Modules whose examples need an Argilla server; `tests/servers/argilla` runs them."""
DOCUMENTED = [
    name
    for name in MODULES
    if name not in SERVED and any(test.examples for test in doctest.DocTestFinder().find(importlib.import_module(name)))
]
CARDS = sorted(resource_folder("metrics").glob("*/README.md"))
PACKAGE = Path(fac_datasets.__file__).parent
README = PACKAGE.parent / "README.md"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/README.md"))
WITHOUT_MODEL = ("files", "rows", "sae", "coverage", "diversity", "evaluate_modules", "generation", "review")
"""Rooms whose README needs no backbone, and makes all that it needs itself."""


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples take for granted: public names, some texts, and a measured seed and anchor."""
    extractor = fac_datasets.FeatureExtractor(threshold=0)
    texts = datasets.Dataset.from_dict({"text": ["Boil the rice.", "Sort the list.", "It rains in Madrid."] * 4})
    seed, anchor = (texts.select(rows).map(extractor, batched=True) for rows in ([0], [1, 2]))
    labelled = texts.add_column("toxic", [0, 1, 0] * 4).map(extractor, batched=True)
    table = fac_datasets.explain(fac_datasets.feature_table(labelled), fac_datasets.TopTokensExplainer())
    synthetic = datasets.Dataset.from_dict({name: [] for name in synthetic_features()}, features=synthetic_features())
    return {
        **{name: getattr(fac_datasets, name) for name in fac_datasets.__all__},
        "review": review,
        "Request": Request,
        "extractor": extractor,
        "texts": texts,
        "seed": seed,
        "anchor": anchor,
        "labelled": labelled,
        "table": table,
        "judged": fac_datasets.contrast_relevance(table, *split_by_label(labelled, "toxic", 1)),
        "generator": fac_datasets.LocalGenerator(),
        "report": fac_datasets.coverage(seed, anchor),
        "synthetic": synthetic,
    }


@pytest.mark.embedded
@pytest.mark.parametrize("module", DOCUMENTED)
def test_examples_in_docstrings(
    module: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module), extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0


def run_examples_of(page: Path, given: dict[str, Any]) -> None:
    """Run the examples of a page of Markdown, of which there must be some."""
    result = doctest.testfile(str(page), module_relative=False, globs=given, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.parametrize("room", [room for room in ROOMS if room in WITHOUT_MODEL])
def test_examples_in_readmes_without_a_model(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples_of(PACKAGE / room / "README.md", {})


@pytest.mark.embedded
@pytest.mark.parametrize("room", [room for room in ROOMS if room not in WITHOUT_MODEL])
def test_examples_in_readmes(room: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples_of(PACKAGE / room / "README.md", dict(names))


@pytest.mark.embedded
def test_examples_in_the_readme_at_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples_of(README, {})


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_examples_in_metric_cards(card: Path) -> None:
    result = doctest.testfile(str(card), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", metric_names())
def test_examples_in_metric_modules(name: str) -> None:
    examples = doctest.DocTestParser().get_doctest(
        load_metric(name).inputs_description, {"evaluate": evaluate}, name, None, None
    )
    result = doctest.DocTestRunner().run(examples)
    assert result.failed == 0
    assert result.attempted > 0


def test_nothing_public_lacks_a_docstring() -> None:
    lacking = [
        f"{module}.{name}"
        for module in MODULES
        for name, value in vars(importlib.import_module(module)).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module
        and callable(value)
        and not value.__doc__
    ]
    assert lacking == []
