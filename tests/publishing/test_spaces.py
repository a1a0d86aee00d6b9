"""Metrics and Gradio pages become Spaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder
from fac_datasets.publishing import publish_metrics, publish_space
from fac_datasets.rows.card_header import split_card
from tests.command_line import command
from tests.servers.hub_double import Hub
from tests.servers.hub_double.card_header import check

LOADED_FROM_SPACES = """
import inspect, sys
import evaluate
from tests.evaluate_modules.test_metric import given, options

for name in sys.argv[1:]:
    metric = evaluate.load(f"me/{name}")
    assert metric.compute(**given(name), **options(name))["n_rows"] == len(given(name)["predictions"])
    print(inspect.getfile(type(metric)).split("/")[-3])
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A small Gradio page."""
    folder = tmp_path / "explorer"
    folder.mkdir()
    header = "title: Explorer\nemoji: 🧭\ncolorFrom: blue\ncolorTo: green\nsdk: gradio\nsdk_version: 6.31.0\n"
    (folder / "README.md").write_text(f"---\n{header}app_file: app.py\n---\n\n# Explorer\n")
    (folder / "app.py").write_text("print('a page')\n")
    (folder / "requirements.txt").write_text("fac-datasets\n")
    return folder


@pytest.mark.slow
def test_all_metrics_become_spaces_that_evaluate_loads(hub: Hub) -> None:
    command("publish", "metrics", "me", "--public")
    for name in metric_names():
        repository = hub.repositories[f"spaces/me/{name}"]
        assert (repository.sdk, repository.private) == ("gradio", False)
        pushed = hub.files(f"spaces/me/{name}")
        folder = resource_folder("metrics") / name
        ours = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        card, our_card = (files.pop("README.md").decode() for files in (pushed, ours))
        assert {path: pushed[path] for path in pushed if not path.startswith(".")} == ours
        assert split_card(card)[0] == split_card(our_card)[0]
        assert split_card(our_card)[1].strip() in card
        assert check(card, "space") == ([], [])
    loading = [sys.executable, "-c", LOADED_FROM_SPACES, *metric_names()]
    loaded = subprocess.run(loading, env=hub.environment(), capture_output=True, text=True, check=True, timeout=300)
    assert loaded.stdout.split() == [f"me--{name}" for name in metric_names()]


def test_a_dry_run_shows_all_spaces_and_asks_nothing(hub: Hub) -> None:
    shown = command("publish", "metrics", "me", "--dry-run")
    for name in metric_names():
        assert f"me/{name}: 5 files, nothing was sent" in shown
        assert f"bytes  {name}.py" in shown
    assert hub.requests() == []


def test_the_same_files_are_not_pushed_again(hub: Hub) -> None:
    first, again = (publish_metrics("me", ["distinct_n"])[0] for _ in range(2))
    assert (first.commit, first.changed != ()) == (again.commit, True)
    assert again.changed == ()


def test_a_space_of_ones_own_is_published_and_peoples_words_on_its_page_stay(hub: Hub, space: Path) -> None:
    command("publish", "space", space, "me/explorer")
    page = hub.files("spaces/me/explorer")["README.md"].decode()
    hub.seed("spaces/me/explorer", {"README.md": page.replace("title:", "pinned: true\ntitle:").encode() + b"Mine.\n"})
    (space / "README.md").write_text((space / "README.md").read_text().replace("6.31.0", "7.0.0"))
    command("publish", "space", space, "me/explorer")
    header, text = split_card(hub.files("spaces/me/explorer")["README.md"].decode())
    assert (header["sdk_version"], header["pinned"]) == ("7.0.0", True)
    assert text.rstrip().endswith("Mine.")


def test_a_space_of_this_package_is_found_by_name(hub: Hub) -> None:
    assert publish_space("distinct_n", "me/mine").files.keys() >= {"README.md", "app.py", "distinct_n.py"}


def test_all_files_of_a_page_go_along_and_those_that_left_it_go(hub: Hub, space: Path) -> None:
    for path in ("page/__init__.py", "page/__main__.py", "page/__pycache__/x.pyc", ".hidden", "old.py"):
        (space / path).parent.mkdir(exist_ok=True, parents=True)
        (space / path).write_text("")
    publish_space(space, "me/explorer")
    (space / "old.py").unlink()
    publish_space(space, "me/explorer")
    assert {path for path in hub.files("spaces/me/explorer") if not path.startswith(".")} == {
        "README.md", "app.py", "requirements.txt", "page/__init__.py", "page/__main__.py",
    }  # fmt: skip


def test_what_is_no_space_is_refused(hub: Hub, space: Path) -> None:
    with pytest.raises(OptionError, match="there is no Space 'explorers'"):
        publish_space("explorers", "me/x")
    (space / "app.py").unlink()
    with pytest.raises(OptionError, match=r"is no Space: it lacks app\.py"):
        publish_space(space, "me/x")


def test_a_push_that_is_refused_says_what_was_published(hub: Hub, no_waiting: list[float]) -> None:
    hub.fail("POST .*/novelsum/commit", status=403)
    with pytest.raises(PublishError, match=r"may not write to me/novelsum.*Published before: me/distinct_n"):
        publish_metrics("me", ["distinct_n", "novelsum"])


def test_an_owner_or_metric_that_cannot_be_is_an_error_before_anything_is_pushed(hub: Hub) -> None:
    with pytest.raises(OptionError, match="owner='me/x'"):
        publish_metrics("me/x")
    with pytest.raises(OptionError, match="no metric 'fca'"):
        publish_metrics("me", ["distinct_n", "fca"])
    assert hub.requests() == []
