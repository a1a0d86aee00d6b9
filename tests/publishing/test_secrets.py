"""What looks like a key is found, wherever it stands; what does not is left alone."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.errors import PublishError
from fac_datasets.publishing.secrets import KINDS, kind_of_secret, require_no_secrets_in_rows

# Put together here, so that no scanner takes this file for a leak.
EXAMPLES = {
    "a token of the Hugging Face Hub": "hf_" + "aB3" * 12,
    "a key of Anthropic": "sk-" + "ant-api03-" + "aB3_" * 8,
    "a key of OpenAI": "sk-" + "proj-" + "aB3" * 14,
    "an access key of AWS": "AKIA" + "ABCDEFGH12345678",
    "a token of GitHub": "ghp" + "_" + "aB3" * 12,
    "a token of GitLab": "glpat" + "-" + "aB3_" * 5,
    "a key of Google": "AIza" + "aB3-" * 8 + "xyz",
    "a token of Slack": "xoxb" + "-" + "123456789012",
    "a key of Stripe": "sk_" + "live_" + "aB3" * 8,
    "a token of PyPI": "pypi" + "-" + "aB3_" * 14,
    "a key of Weights & Biases or Argilla": "ARGILLA_API_KEY=" + "aB3" * 8,
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
}


def test_every_kind_has_an_example() -> None:
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_found_in_a_text_and_in_rows_however_nested(kind: str) -> None:
    key = EXAMPLES[kind]
    assert kind_of_secret(f"See {key} here.") == kind
    rows = datasets.Dataset.from_dict(
        {"n": [0, 1, 2], "messages": [[], [{"role": "user", "content": f"It is {key}."}], []]}
    )
    with pytest.raises(PublishError, match=f"row 1, column 'messages' of config 'x' holds what looks like {kind};"):
        require_no_secrets_in_rows(rows, "config 'x'")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf_hub_download(repo_id, filename) and hf_transfer",
        "a task-oriented, risk-averse, sk-learn-like interface",
        "AKIAK is a name, AIza too; glpat- and xoxb- are prefixes",
        "-----BEGIN CERTIFICATE-----",
        "sha256:" + "0123456789abcdef" * 4,
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert kind_of_secret(text) is None
    require_no_secrets_in_rows(datasets.Dataset.from_dict({"text": [text]}), "rows")


def test_a_key_that_is_known_is_found_whatever_it_looks_like() -> None:
    rows = datasets.Dataset.from_dict({"text": ["fine", "a+b(c"]})
    with pytest.raises(PublishError, match="row 1, column 'text' of rows holds what looks like the token in use"):
        require_no_secrets_in_rows(rows, "rows", own="a+b(c")
