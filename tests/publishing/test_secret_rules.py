"""Keys of all makers are found, in whatever they stand; placeholders and names that look like keys are not."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

import pyarrow as pa
import pytest

from fac_datasets.publishing.secret_rules import RULES, secrets_in, secrets_in_text, without_secrets

# Drawn here, so that no scanner takes this file for a leak.
DRAWN = random.Random(20)
ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "_-"
BASE64 = ALNUM + "+/"
HEX, LOWER, UPPER = (
    string.hexdigits[:16],
    string.ascii_lowercase + string.digits,
    string.ascii_uppercase + string.digits,
)


def some(letters: str, n: int) -> str:
    return "".join(DRAWN.choices(letters, k=n))


def encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def armoured(kind: str, *headers: str, end: str = "\n", width: int = 64) -> str:
    lines = [some(BASE64, width) for _ in range(6)]
    return end.join([f"-----BEGIN {kind}-----", *headers, *lines, f"-----END {kind}-----"])


JWT = ".".join([encoded({"alg": "HS256", "typ": "JWT"}), encoded({"sub": "me", "iat": 1790000000}), some(URL_SAFE, 43)])

KEYS = {
    "Hugging Face": ("hf_" + some(ALNUM, 34), "a token of the Hugging Face Hub"),
    "Hugging Face, letters": ("hf_" + some(string.ascii_letters, 34), "a token of the Hugging Face Hub"),
    "Hugging Face, prefixed": ("MY_" + "hf_" + some(ALNUM, 34), "a token of the Hugging Face Hub"),
    "Hugging Face, OAuth": ("hf_oauth_" + JWT, "a token of the Hugging Face Hub"),
    "Hugging Face, JWT": ("hf_jwt_" + JWT, "a token of the Hugging Face Hub"),
    "Hugging Face, organization": ("api_org_" + some(ALNUM, 34), "a token of the Hugging Face Hub"),
    "Anthropic": ("sk-ant-api03-" + some(URL_SAFE, 93) + "AA", "a key of Anthropic"),
    "OpenAI, project": ("sk-proj-" + some(URL_SAFE, 120), "a key of OpenAI"),
    "OpenAI, service account": ("sk-svcacct-" + some(URL_SAFE, 120), "a key of OpenAI"),
    "OpenAI, admin": ("sk-admin-" + some(URL_SAFE, 120), "a key of OpenAI"),
    "OpenAI, older": (
        "sk-" + some(ALNUM, 20) + "T3BlbkFJ" + some(ALNUM, 20),
        "a key of OpenAI, DeepSeek or a server like theirs",
    ),
    "DeepSeek": ("sk-" + some(HEX, 32), "a key of OpenAI, DeepSeek or a server like theirs"),
    "OpenRouter": ("sk-or-v1-" + some(HEX, 64), "a key of OpenRouter"),
    "Langfuse": ("sk-lf-3f2b8c1e-" + "9a4d-4e7f-b6c5-0d8e7a1f2b93", "a key of Langfuse"),
    "Groq": ("gsk_" + some(ALNUM, 52), "a key of Groq"),
    "xAI": ("xai-" + some(ALNUM, 80), "a key of xAI"),
    "NVIDIA": ("nvapi-" + some(URL_SAFE, 64), "a key of NVIDIA"),
    "Replicate": ("r8_" + some(ALNUM, 37), "a token of Replicate"),
    "Perplexity": ("pplx-" + some(ALNUM, 48), "a key of Perplexity"),
    "Cerebras": ("csk-" + some(LOWER, 48), "a key of Cerebras"),
    "Together": ("tgp_v1_" + some(URL_SAFE, 43), "a key of Together AI"),
    "Fireworks": ("fw_" + some(ALNUM, 24), "a key of Fireworks"),
    "ElevenLabs": ("sk_" + some(HEX, 48), "a key of ElevenLabs"),
    "Jina": ("jina_" + some(ALNUM, 60), "a key of Jina"),
    "Tavily": ("tvly-dev-" + some(ALNUM, 32), "a key of Tavily"),
    "LangSmith": ("lsv2_pt_" + some(HEX, 32) + "_" + some(HEX, 10), "a key of LangSmith"),
    "W&B": ("WANDB_API_KEY=" + some(HEX, 40), "a key of Weights & Biases or Argilla"),
    "W&B, in Python": (
        'os.environ["WANDB_API_KEY"] = "' + some(HEX, 40) + '"',
        "a key of Weights & Biases or Argilla",
    ),
    "W&B, of a .netrc": (
        "machine api.wandb.ai\n  login user\n  password " + some(HEX, 40),
        "a password of a .netrc",
    ),
    "W&B, on a command line": ("wandb login " + some(HEX, 40), "a key of Weights & Biases or Argilla"),
    "W&B, on a command line with options": (
        "wandb login --relogin --host=https://w.example " + some(HEX, 40),
        "a key of Weights & Biases or Argilla",
    ),
    "W&B, given to its library": (
        "wandb.login(key='" + some(HEX, 40) + "')",
        "a key of Weights & Biases or Argilla",
    ),
    "W&B, newer": ("wandb_v1_" + some(ALNUM, 77), "a key of Weights & Biases or Argilla"),
    "Argilla": ("argilla_api_key: " + some(URL_SAFE, 86), "a key of Weights & Biases or Argilla"),
    "Pinecone": ("pcsk_" + some(ALNUM, 6) + "_" + some(ALNUM, 60), "a key of Pinecone"),
    "Kaggle": (json.dumps({"username": "me", "key": some(HEX, 32)}), "a key of Kaggle"),
    "AWS": ("AKIA" + some(UPPER, 16), "an access key of AWS"),
    "AWS, passing": ("ASIA" + some(UPPER, 16), "an access key of AWS"),
    "AWS, secret": ("aws_secret_access_key=" + some(BASE64, 40), "a secret key of AWS"),
    "AWS, secret in capitals": ("export AWS_SECRET_ACCESS_KEY='" + some(BASE64, 40) + "'", "a secret key of AWS"),
    "AWS, secret in JSON": ('{"SecretAccessKey": "' + some(BASE64, 40) + '"}', "a secret key of AWS"),
    "AWS, secret asked for": ("AWS Secret Access Key [None]: " + some(BASE64, 40), "a secret key of AWS"),
    "AWS, secret in CSV": ("AWS Secret Access Key," + some(BASE64, 40), "a secret key of AWS"),
    "AWS, secret in Terraform": ('  secret_key = "' + some(BASE64, 40) + '"', "a secret key of AWS"),
    "AWS, session": ("aws_session_token = " + some(BASE64, 200), "a session token of AWS"),
    "Google": ("AIza" + some(URL_SAFE, 35), "a key of Google"),
    "Google, OAuth": ("GOCSPX-" + some(URL_SAFE, 28), "a key of Google"),
    "Google, service account": (json.dumps({"private_key": armoured("PRIVATE KEY")}), "a private key"),
    "Azure, storage": ("AccountName=me;AccountKey=" + some(BASE64, 86) + "==;", "a key of Azure"),
    "Azure, bus": ("SharedAccessKeyName=a;SharedAccessKey=" + some(BASE64, 43) + "=", "a key of Azure"),
    "Azure, SAS": (
        "https://me.blob.core.windows.net/c?sv=2024-11-04&sig=" + some(ALNUM, 43) + "%3D",
        "a key of Azure",
    ),
    "Azure, directory": (some(ALNUM, 3) + "8Q~" + some(ALNUM, 34), "a key of Azure"),
    "Azure, OpenAI": ("AZURE_OPENAI_API_KEY=" + some(ALNUM, 84), "a key that its name tells"),
    "GitHub": ("ghp_" + some(ALNUM, 36), "a token of GitHub"),
    "GitHub, fine-grained": ("github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59), "a token of GitHub"),
    "GitLab": ("glpat-" + some(URL_SAFE, 20), "a token of GitLab"),
    "Atlassian": ("ATATT3" + some(URL_SAFE, 180), "a token of Bitbucket or Atlassian"),
    "Slack": ("xoxb-" + some(string.digits, 12) + "-" + some(ALNUM, 24), "a token of Slack"),
    "Slack, hook": (
        f"https://hooks.slack.com/services/T{some(UPPER, 9)}/B{some(UPPER, 9)}/{some(ALNUM, 24)}",
        "a hook of Slack",
    ),
    "Slack, hook for governments": (
        f"https://hooks.slack-gov.com/services/T{some(UPPER, 9)}/B{some(UPPER, 9)}/{some(ALNUM, 24)}",
        "a hook of Slack",
    ),
    "Discord": ("M" + some(ALNUM, 25) + "." + some(ALNUM, 6) + "." + some(URL_SAFE, 38), "a token of Discord"),
    "Discord, hook": (
        f"https://discord.com/api/webhooks/{some(string.digits, 18)}/{some(URL_SAFE, 68)}",
        "a hook of Discord",
    ),
    "Telegram, in an address": (
        f"https://api.telegram.org/bot{some(string.digits, 10)}:AA{some(URL_SAFE, 33)}/getMe",
        "a token of Telegram",
    ),
    "Telegram": (some(string.digits, 10) + ":AA" + some(URL_SAFE, 33), "a token of Telegram"),
    "Stripe": ("sk_" + "live_" + some(ALNUM, 24), "a key of Stripe"),
    "Square": ("sq0atp-" + some(URL_SAFE, 22), "a key of Square"),
    "Shopify": ("shpat_" + some(HEX, 32), "a token of Shopify"),
    "PyPI": ("pypi-AgEIcHlwaS5vcmc" + some(URL_SAFE, 150), "a token of PyPI"),
    "npm": ("npm_" + some(ALNUM, 36), "a token of npm"),
    "npm, of an .npmrc": ("//registry.npmjs.org/:_authToken=" + some(ALNUM, 36), "a token of npm"),
    "npm, password and user": ("//registry.npmjs.org/:_auth=" + some(ALNUM, 26) + "==", "a token of npm"),
    "npm, password and user of all": ("_auth = " + some(ALNUM, 24), "a token of npm"),
    "npm, password": ("//registry.npmjs.org/:_password=" + some(ALNUM, 18) + "==", "a token of npm"),
    "RubyGems": ("rubygems_" + some(HEX, 48), "a token of RubyGems or crates.io"),
    "Docker": ("dckr_pat_" + some(URL_SAFE, 27), "a token of Docker"),
    "SendGrid": ("SG." + some(URL_SAFE, 22) + "." + some(URL_SAFE, 43), "a key of SendGrid"),
    "Mailgun": ("key-" + some(HEX, 32), "a key of Mailgun"),
    "Mailgun, newer": ("-".join(some(HEX, n) for n in (32, 8, 8)), "a key of Mailgun"),
    "Mailchimp": (some(HEX, 32) + "-us14", "a key of Mailchimp"),
    "Twilio": ("SK" + some(HEX, 32), "a key of Twilio"),
    "Twilio, token": ("TWILIO_AUTH_TOKEN: " + some(HEX, 32), "a key that its name tells"),
    "Databricks": ("dapi" + some(HEX, 32), "a token of Databricks"),
    "DigitalOcean": ("dop_v1_" + some(HEX, 64), "a token of DigitalOcean"),
    "Cloudflare": ("v1.0-" + some(HEX, 24) + "-" + some(HEX, 146), "a key of Cloudflare"),
    "Cloudflare, by name": ("CLOUDFLARE_API_TOKEN=" + some(URL_SAFE, 40), "a key that its name tells"),
    "Cohere": ('cohere.Client(api_key="' + some(ALNUM, 40) + '")', "a key that its name tells"),
    "Cohere, by its other name": ("CO_API_KEY=" + some(ALNUM, 40), "a key that its name tells"),
    "Mistral": ("MISTRAL_API_KEY=" + some(ALNUM, 32), "a key that its name tells"),
    "a header": ("api-key: " + some(HEX, 32), "a key under a common name"),
    "a header of another name": ("X-API-Key: " + some(HEX, 32), "a key under a common name"),
    "a setting": ("API_KEY=" + some(ALNUM, 40), "a key under a common name"),
    "a setting in JSON": (json.dumps({"apiKey": some(ALNUM, 40)}), "a key under a common name"),
    "a secret of OAuth": ("client_secret=" + some(ALNUM, 32), "a key under a common name"),
    "a token of OAuth": (json.dumps({"access_token": some(URL_SAFE, 64)}), "a key under a common name"),
    "a bearer": ("Authorization: Bearer " + some(ALNUM, 40), "a key under a common name"),
    "a bearer in Python": ('{"Authorization": "Bearer ' + some(ALNUM, 40) + '"}', "a key under a common name"),
    "a password in a header": (
        "authorization: Basic " + base64.b64encode(f"me:{some(ALNUM, 12)}".encode()).decode(),
        "a key under a common name",
    ),
    "Vault": ("hvs." + some(URL_SAFE, 90), "a token of HashiCorp"),
    "Grafana": ("glsa_" + some(ALNUM, 32) + "_" + some(HEX, 8), "a token of Grafana"),
    "New Relic": ("NRAK-" + some(UPPER, 27), "a key of New Relic"),
    "Sentry": ("sntryu_" + some(HEX, 64), "a token of Sentry"),
    "Notion": ("ntn_" + some(ALNUM, 46), "a token of Notion, Linear or Figma"),
    "Airtable": ("pat" + some(ALNUM, 14) + "." + some(HEX, 64), "a token of Airtable"),
    "Postman": ("PMAK-" + some(HEX, 24) + "-" + some(HEX, 34), "a key of Postman"),
    "Supabase": ("sbp_" + some(HEX, 40), "a key of Supabase"),
    "JWT": (JWT, "a JSON Web Token"),
    "RSA": (armoured("RSA PRIVATE KEY"), "a private key"),
    "RSA, encrypted": (
        armoured("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC," + some(HEX, 32), ""),
        "a private key",
    ),
    "PKCS8, encrypted": (armoured("ENCRYPTED PRIVATE KEY"), "a private key"),
    "OpenSSH": (
        armoured("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"),
        "a private key",
    ),
    "PGP": (armoured("PGP PRIVATE KEY BLOCK", "Version: GnuPG v2", "Comment: mine", ""), "a private key"),
    "in a string": (armoured("EC PRIVATE KEY", end="\\n"), "a private key"),
    "in short lines": (armoured("PRIVATE KEY", width=32), "a private key"),
    "in very short lines": (armoured("PRIVATE KEY", width=10, end="\\n"), "a private key"),
    "PuTTY": ("Private-Lines: 4\n" + some(BASE64, 64), "a private key"),
    "age": ("AGE-SECRET-KEY-1" + some(UPPER, 58), "a private key"),
    "password": ("https://me:" + some(ALNUM, 12) + "@example.com/x", "a password in an address"),
    "password of a database": ("postgresql+psycopg://app:c0rrect!h%40rse@db:5432/app", "a password in an address"),
    "password with an at sign": ("postgres://u:p@ssw0rd!@h/db", "a password in an address"),
    "password that begins like a usual one": ("postgres://u:pass@w0rd@h/db", "a password in an address"),
    "password with a slash": ("postgres://u:k4/tze!m@h/db", "a password in an address"),
    "password of three letters": ("amqp://u:k4z@h", "a password in an address"),
    "password behind a port": (
        "http://localhost:8000/?to=https://me:" + some(ALNUM, 12) + "@h/x",
        "a password in an address",
    ),
    "password without a user": ("redis://:" + some(ALNUM, 16) + "@cache:6379/0", "a password in an address"),
}

HARMLESS = [
    "",
    "hf_" + "x" * 34,
    "hf_" + "X" * 34,
    "hf_" + "0" * 34,
    "hf_...",
    "hf_<your token>",
    "hf_" + "*" * 34,
    "hf_your_token_goes_here",
    "hf_AutoModelForSequenceClassificationWithHead",
    "class hf_LlamaForCausalLMWithValueHeadAndAdapters(Model):",
    "hf_hub_download(repo_id, filename) and hf_transfer",
    "hf_oauth_expiration_minutes: 480",
    "AKIA" + "X" * 16,
    "AKIA" + "IOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "aws_secret_access_key=${AWS_SECRET_ACCESS_KEY}",
    "AKIAK is a name, AIza too; glpat- and xoxb- are prefixes",
    "WANDB_API_KEY=your_key_goes_here",
    "WANDB_API_KEY=${WANDB_API_KEY}",
    "WANDB_API_KEY=<your-api-key-from-wandb>",
    "WANDB_API_KEY=" + "x" * 40,
    'wandb.login(key=os.environ["WANDB_API_KEY"])',
    "api_key = settings.wandb_api_key_of_the_project",
    "ARGILLA_API_KEY=argilla.apikey",
    "OPENAI_API_KEY=sk-" + "x" * 48,
    "OPENAI_API_KEY=sk-...",
    "sk-proj-" + "your-key-" + "0" * 32,
    "sk-ant-api03-" + "x" * 40,
    "xoxb-your-token-here",
    "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
    "ghp_" + "x" * 36,
    "a task-0123456789abcdef0123456789abcdef, risk-averse, sk-learn-like",
    "https://travel.example/sk-bratislava-hotel-and-restaurant-guide-of-the-year-2024",
    "postgres://user:password@localhost:5432/db",
    "postgres://user:${PASSWORD}@localhost/db",
    "https://user:<password>@host",
    "https://user:****@host",
    "http://localhost:8000/v1 and git@github.com:me/x.git",
    "docker://ubuntu:24.04@sha256:" + "0123456789abcdef" * 4,
    "-----BEGIN CERTIFICATE-----\n" + "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + "mQENBFKvb2wBCADCZbCyZ7g4DqXlwkVZ8v2ZrTqkR7yKs0nUbG3wQm5jZ1pXe8Rt",
    "A key starts with -----BEGIN PRIVATE KEY----- and ends with another line.",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "sha256:" + "0123456789abcdef" * 4,
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, 7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "eyJhbGciOiJIUzI1NiJ9 is how a token begins",
    "2026-11-26 12:34:56 to 1790000000:ok",
    "AC" + "0123456789abcdef" * 2,
    "SG.placeholder-placeholder.placeholder-placeholder-placeholder-pla",
    "npm_config_registry and npm_lifecycle_event",
    "hf_" + string.ascii_lowercase + "12345678",
    "hf_" + "abcdefghij" * 3 + "abcd",
    "hf_" + "1234567890" * 3 + "1234",
    "hf_" + string.ascii_uppercase + "abcdefgh",
    "hf_" + "abc123" * 6,
    "ghp_" + string.ascii_lowercase + string.digits,
    "sk-" + "1234567890" * 4,
    "sk-" + "1234567890abcdef" * 3,
    "AKIA" + "1234567890" + "ABCDEF",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    # The one that jwt.io shows.
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "redis://default:redis@x",
    "http://foo:bar1@example.com",
    "http://user:pwd@host",
    "http://localhost:5173/@vite/client and http://localhost:8000/users/me@example.com",
    "https://medium.com:443/@someone/a-title, http://localhost:8080?user=me@example.com",
    "file://C:/Users/me@work/notes.txt",
    "ssh://github.com:someone/project.git@v1.2",
    "nvidia driver key: NVIDIA-Linux-x86_64-535.104",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $HF_TOKEN",
    "Authorization: Bearer YOUR_TOKEN_FOR_THIS_SERVICE",
    'headers = {"Authorization": f"Bearer {token}"}',
    "Authorization: Basic " + "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "api-key: your-key-goes-here-please",
    "api_key = get_key_of_the_service_from_environment()",
    "api_key=projects/mine/secrets/openai/versions/12",
    "client_secret=" + "x" * 32,
    "client_secret=${CLIENT_SECRET}",
    "self._password = credentials_of(user)",
    "_auth=${NPM_AUTH}",
    "wandb login --relogin",
    "wandb login your_key_goes_here",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA...\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY----- introduces the content, which follows in lines of letters and numbers until the end",
]


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(KEYS) >= 50
    assert len(HARMLESS) >= 33
    assert {kind for _, kind in KEYS.values()} == RULES.keys()


@pytest.mark.parametrize(
    "around",
    [
        lambda key: key,
        lambda key: f"It is {key} today.",
        lambda key: f"Ключ: {key}\n",
        lambda key: json.dumps({"text": f"one\n{key}\n“{key}”"}),
    ],
    ids=["alone", "in words", "after another script", "in JSON"],
)
def test_every_key_is_found(around: Callable[[str], str]) -> None:
    assert found_in({name: around(key) for name, (key, _) in KEYS.items()}) == {
        name: {kind} for name, (_, kind) in KEYS.items()
    }


@pytest.mark.parametrize("around", [lambda text: text, lambda text: f'He wrote: "{text}"\n'], ids=["alone", "in words"])
def test_what_only_looks_like_a_key_is_left_alone(around: Callable[[str], str]) -> None:
    assert found_in({text: around(text) for text in HARMLESS}) == {}


def found_in(texts: dict[str, str]) -> dict[str, set[str]]:
    """Kinds that are found, by what the text is called."""
    found: dict[str, set[str]] = {}
    for index, secret in secrets_in(pa.array([*texts.values()])):
        found.setdefault([*texts][index], set()).add(secret.kind)
    return found


def test_keys_that_stand_side_by_side_are_all_found() -> None:
    keys = ["AKIA" + some(UPPER, 16), "AKIA" + some(UPPER, 16), "hf_" + some(ALNUM, 34)]
    text = " ".join(keys)
    assert [text[secret.start : secret.end] for secret in secrets_in_text(text)] == keys


def test_a_key_has_one_digest_wherever_it_stands() -> None:
    key = "hf_" + some(ALNUM, 34)
    (first,), (second,) = secrets_in_text(key), secrets_in_text(f"MY_{key}\n")
    assert first.digest == second.digest
    assert first.digest != secrets_in_text("hf_" + some(ALNUM, 34))[0].digest


def test_the_token_in_use_is_found_whatever_it_looks_like() -> None:
    (secret,) = secrets_in_text("It is a+b(c.", own="a+b(c")
    assert (secret.kind, secret.digest) == ("the token in use", None)


def test_few_random_tokens_read_as_words() -> None:
    tokens = ["hf_" + some(string.ascii_letters, 34) for _ in range(2000)]
    assert len(secrets_in_text("\n".join(tokens))) >= 1995


def test_a_text_is_shown_without_its_keys() -> None:
    key = "hf_" + some(ALNUM, 34)
    assert without_secrets(f"a {key}, b {key}.txt") == "a ***, b ***.txt"
