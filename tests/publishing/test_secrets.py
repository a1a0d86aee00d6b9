"""What looks like a key is found, wherever it stands; what does not is left alone."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest

from fac_datasets.errors import PublishError
from fac_datasets.publishing.secrets import KINDS, kind_of_secret, require_none, secrets_in_file, secrets_in_rows

# Put together here, so that no scanner takes this file for a leak.
EXAMPLES = {
    "a token of the Hugging Face Hub": "hf_" + "aB3" * 12,
    "a key of Anthropic": "sk-" + "ant-api03-" + "aB3_" * 8,
    "a key of OpenAI": "sk-" + "proj-" + "aB3-" * 10,
    "an access key of AWS": "AKIA" + "ABCDEFGH12345678",
    "a token of GitHub": "ghp" + "_" + "aB3" * 12,
    "a token of GitLab": "glpat" + "-" + "aB3_" * 5,
    "a key of Google": "AIza" + "aB3-" * 8 + "xyz",
    "a token of Slack": "xoxb" + "-" + "123456789012",
    "a key of Stripe": "sk_" + "live_" + "aB3" * 8,
    "a token of PyPI": "pypi" + "-" + "aB3_" * 14,
    "a key of Weights & Biases or Argilla": "ARGILLA_API_KEY=" + "aB3" * 8,
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + "aB3+" * 16,
}


KEY = EXAMPLES["a token of GitHub"]


def test_every_kind_has_an_example() -> None:
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_found_in_a_text_and_in_rows_however_nested(kind: str) -> None:
    key = EXAMPLES[kind]
    assert kind_of_secret(f"See {key} here.") == kind
    rows = datasets.Dataset.from_dict(
        {"n": [0, 1, 2], "messages": [[], [{"role": "user", "content": f"It is {key}."}], []]}
    )
    place = "row 1, column 'messages' of config 'x'"
    assert secrets_in_rows(rows, "config 'x'") == [f"{place} holds what looks like {kind}"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf_hub_download(repo_id, filename) and hf_transfer",
        "a task-oriented, risk-averse, sk-learn-like interface",
        "AKIAK is a name, AIza too; glpat- and xoxb- are prefixes",
        "-----BEGIN CERTIFICATE-----",
        "A key starts with -----BEGIN PRIVATE KEY----- and ends with another line.",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "https://travel.example/sk-bratislava-hotel-and-restaurant-guide-of-the-year-2024",
        "sha256:" + "0123456789abcdef" * 4,
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert kind_of_secret(text) is None
    assert secrets_in_rows(datasets.Dataset.from_dict({"text": [text]}), "rows") == []


def test_a_key_that_is_known_is_found_whatever_it_looks_like() -> None:
    rows = datasets.Dataset.from_dict({"text": ["fine", "a+b(c"]})
    assert secrets_in_rows(rows, "rows", own="a+b(c") == [
        "row 1, column 'text' of rows holds what looks like the token in use"
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[KEY]], pa.list_(pa.string(), 1)),
        pa.array([KEY.encode()], pa.binary()),
        pa.array([KEY]).dictionary_encode(),
        pa.array([[{"a": [KEY]}]]),
        pa.array([KEY], pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
def test_a_key_is_found_in_columns_of_any_type(column: pa.Array) -> None:
    rows = datasets.Dataset(datasets.table.InMemoryTable(pa.table({"x": column})))
    assert len(secrets_in_rows(rows, "rows")) == 1


def test_a_file_is_looked_through_whatever_it_is_called_unless_it_is_no_text() -> None:
    text = f"one\ntwo {KEY}\n".encode()
    for name in ("Dockerfile", "a.ipynb", "a.log", "a.md"):
        assert secrets_in_file(text, name) == [f"line 2 of {name} holds what looks like a token of GitHub"]
    assert secrets_in_file(b"\0" + text, "a.bin") == []


def test_all_places_are_counted_and_some_named() -> None:
    hits = secrets_in_rows(datasets.Dataset.from_dict({"text": [KEY] * 9}), "rows")
    with pytest.raises(PublishError, match=r"row 0, .*; row 4, column 'text' of rows .*, and 4 more\. Nothing was"):
        require_none(hits)
    require_none([])
