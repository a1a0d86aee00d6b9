"""What a release holds: one version everywhere, a valid citation file, and archives that lack nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from fac_datasets import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RESOURCES = ("cards", "metrics", "spaces")
REQUIREMENTS = sorted(path for kind in RESOURCES for path in (ROOT / kind).glob("*/requirements.txt"))


@pytest.fixture
def citation() -> dict[str, Any]:
    """Content of the citation file."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return content


@pytest.fixture
def newest() -> str:
    """The changelog's top heading, such as `1.2.0 (2026-12-01)`."""
    heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading
    return heading[1]


def test_the_installed_version_is_the_project_s() -> None:
    assert __version__ == PROJECT["project"]["version"], "run `make setup`"


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.parent.name)
def test_spaces_pin_this_version(path: Path) -> None:
    pins = re.findall(r"^fac-datasets(?:\[.+\])?(.*)$", path.read_text(), re.MULTILINE)
    assert pins == [f"=={__version__}"]


def test_the_changelog_tells_of_this_version(newest: str) -> None:
    assert newest.split()[0] == __version__


def test_the_citation_is_of_this_version_and_date(citation: dict[str, Any], newest: str) -> None:
    assert citation["version"] == __version__
    released = citation.get("date-released", "unreleased")
    assert newest.endswith(f"({released})")


def test_the_citation_has_what_the_format_requires(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    for field in ("message", "title", "abstract"):
        assert isinstance(citation[field], str)
        assert citation[field]
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert work["authors"]
        assert all(author.get("name") or author.get("family-names") for author in work["authors"])
    assert (citation["title"], citation["license"], citation["keywords"]) == tuple(
        PROJECT["project"][field] for field in ("name", "license", "keywords")
    )


def test_the_wheel_takes_along_every_resource() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["fac_datasets"]
    assert wheel["force-include"] == {kind: f"fac_datasets/_resources/{kind}" for kind in RESOURCES}


def built(folder: Path, *options: str) -> list[Path]:
    """Archives that `build` makes of the checkout, sorted by suffix."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *options, str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    return sorted(folder.iterdir(), key=lambda path: path.suffix)


@pytest.mark.slow
def test_the_sdist_is_all_that_wheel_and_tests_need(tmp_path: Path) -> None:
    sdist, wheel = built(tmp_path / "both")
    (straight,) = built(tmp_path / "straight", "--wheel")
    assert sorted(zipfile.ZipFile(wheel).namelist()) == sorted(zipfile.ZipFile(straight).namelist())

    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    places = [ROOT / name for name in ("fac_datasets", "tests", ".ci", *RESOURCES)]
    needed = {str(path.relative_to(ROOT)) for place in places for path in place.rglob("*") if path.is_file()}
    needed |= {"Makefile", "constraints.txt", "pyproject.toml"}
    needed |= {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    assert {name for name in needed - held if not name.endswith(".pyc")} == set()
