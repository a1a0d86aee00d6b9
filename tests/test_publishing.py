"""Publishing, to a double of the Hub on loopback."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from fac_datasets.cli.main import app
from fac_datasets.errors import OptionError, PublishError
from fac_datasets.metric_registry import metric_names
from fac_datasets.publishing import metric_spaces, publish_metrics
from fac_datasets.resources import resource_folder
from tests.hub_double import READ_TOKEN, Hub


def test_without_push_it_shows_what_it_would_push(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    app(["publish", "metrics", "--owner", "me"], standalone_mode=False)
    *shown, last = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in shown] == [f"me/{name}" for name in metric_names()]
    assert last == "nothing was pushed; add --push"
    assert hub.requests() == []


LOADED_FROM_SPACES = """
import inspect, sys
import evaluate
from tests.test_metric_family import given, options

for name in sys.argv[1:]:
    metric = evaluate.load(f"me/{name}")
    assert metric.compute(**given(name), **options(name))["n_rows"] == len(given(name)["predictions"])
    print(inspect.getfile(type(metric)).split("/")[-3])
"""


@pytest.mark.slow
def test_all_metrics_become_spaces_that_evaluate_loads(hub: Hub) -> None:
    app(["publish", "metrics", "--owner", "me", "--push"], standalone_mode=False)
    for name in metric_names():
        assert hub.repositories[f"spaces/me/{name}"].sdk == "gradio"
        pushed = hub.files(f"spaces/me/{name}")
        pushed.pop(".gitattributes")
        folder = resource_folder("metrics") / name
        assert pushed == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    command = [sys.executable, "-c", LOADED_FROM_SPACES, *metric_names()]
    loaded = subprocess.run(command, env=hub.environment(), capture_output=True, text=True, check=True, timeout=300)
    assert loaded.stdout.split() == [f"me--{name}" for name in metric_names()]


def test_the_same_files_are_not_pushed_again(hub: Hub) -> None:
    first, again = (publish_metrics("me", ["distinct_n"]) for _ in range(2))
    assert first == again
    assert list(hub.repositories) == ["spaces/me/distinct_n"]


def test_a_hub_that_is_busy_is_asked_again(hub: Hub) -> None:
    hub.fail("POST .*/preupload", status=503)
    publish_metrics("me", ["distinct_n"])
    assert "distinct_n.py" in hub.files("spaces/me/distinct_n")


def test_a_push_that_is_refused_says_what_was_pushed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.fail("POST .*/novelsum/commit", status=500)
    with pytest.raises(PublishError, match=r"(?s)me/novelsum cannot be pushed: .*; pushed before: distinct_n"):
        publish_metrics("me", ["distinct_n", "novelsum"])
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    with pytest.raises(PublishError) as refused:
        publish_metrics("me", ["distinct_n"])
    assert READ_TOKEN not in str(refused.value)


def test_a_hub_that_cannot_be_reached_is_an_error(hub: Hub) -> None:
    hub.fail("POST", cut="before", times=math.inf)
    with pytest.raises(PublishError, match="me/distinct_n cannot be pushed"):
        publish_metrics("me", ["distinct_n"])


def test_an_owner_that_cannot_be_is_an_error_before_anything_is_pushed() -> None:
    with pytest.raises(OptionError, match="owner='me/x'"):
        metric_spaces("me/x")


def test_a_metric_that_is_none_is_an_error() -> None:
    with pytest.raises(OptionError, match="no metric 'fca'"):
        metric_spaces("me", ["fca"])
