"""Tokens, keys and addresses are sent as they should be, or refused in a sentence that does not show them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import huggingface_hub.constants
import pytest
import typer

from fac_datasets import Backbone, EndpointGenerator, load_sae
from fac_datasets.cli.options import typed_options
from fac_datasets.errors import OptionError
from fac_datasets.files.credentials import credential, hub_token, server_address, without_credentials
from fac_datasets.generation import Request
from fac_datasets.publishing.commit import commit_files
from fac_datasets.publishing.failures import cause_without
from fac_datasets.publishing.target import HubTarget
from fac_datasets.review.server import connect
from fac_datasets.rows.loading import load_rows
from tests.servers.chat_server import FaultyProxy
from tests.servers.hub_double import WRITE_TOKEN, Hub

BAD = [
    "hf_Zq7Lm\nW4tRn",
    "hf_Zq7Lm\rW4tRn",
    "hf_Zq7Lm W4tRn",
    "hf_Zq7LmW4tRnü",
    "hf_Zq7Lm\0W4tRn",
    "hf_Zq7Lm\u200bW4tRn",
]
PART = "hf_Zq7Lm"


def publish(token: str | None = None) -> None:
    commit_files(
        HubTarget("me/data", token=token),
        "dataset",
        {"a.txt": b"a"},
        lambda _card, _others: "---\nlicense: mit\n---\nText.\n",
        title="Publish",
    )


def ask(token: str | None = None, base_url: str | None = "http://127.0.0.1:9/v1") -> None:
    generator = EndpointGenerator("m", base_url=base_url, token=token, retries=0)
    generator.generate([Request((("user", "Hello."),), seed=0)], max_new_tokens=4, temperature=0)


def refused(use: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    """It raises one sentence, and shows nothing of the token anywhere."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OptionError, match="holds whitespace, a control character or a letter outside ASCII") as found:
        use()
    told = "".join(traceback.format_exception(found.value)) + caplog.text
    assert "\n" not in str(found.value)
    assert PART not in told
    assert "W4tRn" not in told


def test_whitespace_around_a_token_is_taken_off() -> None:
    assert credential("\t hf_x\r\n", "the token") == "hf_x"
    assert credential(" \n", "the token") is None
    assert credential(None, "the token") is None
    assert HubTarget("me/data", token="hf_x\n").token == "hf_x"


@pytest.mark.parametrize("token", BAD, ids=ascii)
@pytest.mark.parametrize("use", [publish, ask, lambda token: ask(token, None)], ids=["Hub", "endpoint", "provider"])
def test_a_token_that_no_header_can_carry_is_refused(
    use: Callable[[str], None], token: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused(lambda: use(token), caplog)


@pytest.mark.parametrize("variable", ["ARGILLA_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"])
def test_one_of_the_environment_is_refused_too(
    variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, "hf_Zq7LmW4tRnü")
    uses: dict[str, list[Callable[[], object]]] = {
        "ARGILLA_API_KEY": [connect],
        "OPENAI_API_KEY": [ask],
        "HF_TOKEN": [publish, lambda: ask(None, None)],
    }
    for use in uses[variable]:
        refused(use, caplog)


@pytest.mark.parametrize(
    "use",
    [lambda: load_rows("me/x"), lambda: load_sae("me/x"), lambda: Backbone("me/x", 1)],
    ids=["rows", "SAE", "backbone"],
)
def test_one_that_is_logged_in_is_refused_before_anything_is_read(
    use: Callable[[], object], hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    Path(huggingface_hub.constants.HF_TOKEN_PATH).write_text("hf_Zq7LmW4tRnü\n")
    refused(use, caplog)
    assert hub.requests() == []


def test_a_file_with_a_token_that_is_no_text_is_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    Path(huggingface_hub.constants.HF_TOKEN_PATH).write_bytes(b"hf_Zq7Lm\xff")
    with pytest.raises(OptionError, match="the file with the token for the Hub is no text; log in again") as found:
        hub_token()
    assert found.value.__cause__ is None
    assert PART not in "".join(traceback.format_exception(found.value))


def test_a_token_that_ends_in_a_line_publishes(hub: Hub) -> None:
    publish(f"{WRITE_TOKEN}\n")
    assert hub.files("datasets/me/data")["a.txt"] == b"a"


def test_a_token_and_an_address_that_end_in_a_line_reach_the_endpoint() -> None:
    with closing(FaultyProxy(answer=lambda _prompt: "Good day.")) as server:
        ask("sk-mine\r\n", f" {server.address}\n")
    sent = {name.lower(): value for name, value in server.requests[0][1].items()}
    assert sent["authorization"] == "Bearer sk-mine"


def test_a_token_that_a_server_answers_with_is_not_shown_as_the_cause() -> None:
    inner = RuntimeError("Bearer hf_x is unknown")
    outer = RuntimeError("not taken")
    outer.__cause__ = inner
    assert cause_without(outer, "hf_x") is None
    assert cause_without(outer, "hf_y") is outer


@pytest.mark.parametrize(
    "address",
    ["localhost:6900", "me:hunter22@host", "http://", "http://a b", "http://a\n.b", "http://a:port", "ftp://a"],
)
def test_an_address_that_is_none_is_refused_without_being_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", address)
    monkeypatch.setenv("ARGILLA_API_KEY", "key")
    uses: dict[str, Callable[[], object]] = {
        "ARGILLA_API_URL is no address such as http://localhost:6900": connect,
        "base_url is no address such as http://localhost:8000/v1": lambda: ask(base_url=address),
    }
    for message, use in uses.items():
        with pytest.raises(OptionError) as found:
            use()
        assert str(found.value) == message
        assert "hunter22" not in "".join(traceback.format_exception(found.value))


def test_an_address_is_used_without_the_whitespace_around_it() -> None:
    assert server_address(" https://host/v1\n", "base_url", "") == "https://host/v1"


def test_a_password_in_an_address_is_not_shown() -> None:
    text = "at http://me:hunter22@host/v1?api-key=hunter22, and postgres://me:hunter22@host"
    assert "hunter22" not in without_credentials(text)
    assert without_credentials("http://host/v1") == "http://host/v1"


def test_a_password_in_an_address_does_not_reach_the_command_on_a_card() -> None:
    app = typer.Typer()
    words: list[str] = []

    @app.command()
    def run(context: typer.Context, endpoint: str = "") -> None:
        words.extend(typed_options(context, without=()))

    app(["--endpoint", "http://me:hunter22@host/v1?key=hunter22"], standalone_mode=False)
    assert words == ["--endpoint", "http://***@host/v1?***"]
