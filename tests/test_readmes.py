"""The pages that a reader starts from: one a room, short, whole, and without dead ends."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

import fac_datasets

PACKAGE = Path(fac_datasets.__file__).parent
ROOT = PACKAGE.parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
PAGES = [
    path
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md")),
        *(PACKAGE / room / "README.md" for room in ROOMS),
    )
    if path.exists()
]


def name_of(page: Path) -> str:
    """A page as its readers know it."""
    return str(page.relative_to(ROOT))


def prose_of(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """What links may point at within a page: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_readme(room: str) -> None:
    page = PACKAGE / room / "README.md"
    assert page.is_file()
    assert page.read_text(encoding="utf-8").startswith(f"# {room}\n")


def test_the_readme_at_the_top_is_short_and_leads_to_every_room() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert [room for room in ROOMS if f"](fac_datasets/{room}/README.md)" not in text] == []


def test_every_public_name_stands_in_a_room_s_readme() -> None:
    text = "\n".join((PACKAGE / room / "README.md").read_text(encoding="utf-8") for room in ROOMS)
    assert [name for name in fac_datasets.__all__ if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_point_at_something(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or not there.is_relative_to(ROOT) or (anchor and anchor not in anchors_of(there)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_that_is_no_example_compiles(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if not code.lstrip().startswith(">>>"):
            ast.parse(textwrap.dedent(code), filename=name_of(page))


def test_the_sdist_takes_the_pages_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    include = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {f"/{page.name}" for page in PAGES if page.parent == ROOT} <= {*include}
