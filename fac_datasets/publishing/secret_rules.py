"""What keys look like, and what only looks like one.

The forms are those that their makers document. The library of such rules, detect-secrets, has not been released since
May 2024 and lacks most of them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_START = r"(?:^|[^A-Za-z0-9]|\\[nrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})"
"""Before a key, which may stand behind a prefix (`MY_hf_...`), or behind what a file or an address writes a line's end
or a quote as."""

_IS = r"""["'\\\]]{0,4}(?:\s?\[[^\]\s]{0,24}\])?\s{0,3}(?:=>|:=|==|[:=,])\s{0,3}["'\\]{0,3}"""
"""Between a name and the value it is given, as in `NAME=value`, `"name": "value"`, `environ["NAME"] = "value"` and
`Name [None]: value`."""


def _key(form: str) -> str:
    return f"{_START}({form})"


def _named(names: str, form: str) -> str:
    return f"(?i:{names}){_IS}({form})"


RULES: Mapping[str, str] = {
    "a token of the Hugging Face Hub": _key(
        r"hf_(?:oauth|jwt)_[A-Za-z0-9._-]{20,}|hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}"
    ),
    "a key of Anthropic": _key(r"sk-ant-[A-Za-z0-9_-]{20,}"),
    "a key of OpenRouter": _key(r"sk-or-(?:v1-)?[A-Za-z0-9]{32,}"),
    "a key of OpenAI": _key(r"sk-(?:proj|svcacct|service|admin|None)-[A-Za-z0-9_-]{32,}"),
    "a key of Langfuse": _key(r"sk-lf-[0-9a-f-]{36}"),
    "a key of OpenAI, DeepSeek or a server like theirs": _key(r"sk-[A-Za-z0-9]{32,}"),
    "a key of Groq": _key(r"gsk_[A-Za-z0-9]{40,}"),
    "a key of xAI": _key(r"xai-[A-Za-z0-9]{40,}"),
    "a key of NVIDIA": _key(r"nvapi-[A-Za-z0-9_-]{40,}"),
    "a token of Replicate": _key(r"r8_[A-Za-z0-9]{37,40}") + r"(?:[^A-Za-z0-9_-]|$)",
    "a key of Perplexity": _key(r"pplx-[A-Za-z0-9]{40,}"),
    "a key of Cerebras": _key(r"csk-[a-z0-9]{40,}"),
    "a key of Together AI": _key(r"tgp_v1_[A-Za-z0-9_-]{40,}"),
    "a key of Fireworks": _key(r"fw_[A-Za-z0-9]{22,24}") + r"(?:[^A-Za-z0-9_]|$)",
    "a key of ElevenLabs": _key(r"sk_[0-9a-f]{48}"),
    "a key of Jina": _key(r"jina_[A-Za-z0-9_-]{50,}"),
    "a key of Tavily": _key(r"tvly-[A-Za-z0-9-]{30,}"),
    "a key of LangSmith": _key(r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    "a key of Weights & Biases or Argilla": _named(r"(?:wandb|argilla)_?api_?key", r"[A-Za-z0-9._-]{16,}")
    + "|"
    + _key(r"wandb_v1_[A-Za-z0-9_]{40,}")
    + r"""|wandb(?:\s+login\s+(?:--\S+\s+)*|\.login\(\s*(?:key\s*=\s*)?)["'\\]{0,3}([0-9a-z]{40})(?:[^A-Za-z0-9]|$)""",
    "a key of Pinecone": _key(r"pcsk_[A-Za-z0-9_]{40,}"),
    "a key of Kaggle": _key(r"KGAT_[0-9a-f]{32}")
    + r'|username\\*"\s*:\s*\\*"[^"]+"\s*,\s*\\*"key\\*"\s*:\s*\\*"([0-9a-f]{32})\\*"',
    "an access key of AWS": _key(r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}") + r"(?:[^A-Za-z0-9]|$)",
    "a secret key of AWS": _named(
        r"aws[a-z0-9_. -]{0,20}secret(?:[ _-]?access)?(?:[ _-]?key)?|secret[ _-]?(?:access[ _-]?)?key",
        r"[A-Za-z0-9/+]{40}",
    )
    + r"(?:[^A-Za-z0-9/+=]|$)"
    # As in the file that AWS gives, whose names stand a line above.
    + r"""|(?:AKIA|ASIA)[0-9A-Z]{16}["\\]{0,2}[,;]["\\]{0,2}([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)""",
    "a session token of AWS": _named(r"session_?token", r"[A-Za-z0-9/+=]{100,}"),
    "a key of Google": _key(r"AIza[0-9A-Za-z_-]{35}|GOCSPX-[A-Za-z0-9_-]{24,}|ya29\.[A-Za-z0-9_-]{30,}"),
    "a key of Azure": r"(?i:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={1,2})"
    + r"|[?&;]sig=([A-Za-z0-9%+/]{40,}(?:%3[Dd]|=))"
    + "|"
    + _key(r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    "a token of GitHub": _key(r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}"),
    "a token of GitLab": _key(r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.-]{20,}"),
    "a token of Bitbucket or Atlassian": _key(r"ATATT3[A-Za-z0-9_=-]{40,}|ATBB[A-Za-z0-9]{32}"),
    "a token of Slack": _key(r"xox[abeposr](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,}"),
    "a hook of Slack": r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9/]{20,})",
    "a token of Discord": _key(r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    "a hook of Discord": r"discord(?:app)?\.com/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_-]{60,})",
    "a token of Telegram": rf"(?:{_START}|bot)([0-9]{{8,10}}:[A-Za-z0-9_-]{{35}})(?:[^A-Za-z0-9_-]|$)",
    "a key of Stripe": _key(r"[rs]k_live_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9+/=]{32,}"),
    "a key of Square": _key(r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}"),
    "a token of Shopify": _key(r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}"),
    "a token of PyPI": _key(r"pypi-[A-Za-z0-9_-]{50,}"),
    "a token of npm": _key(r"npm_[A-Za-z0-9]{36}")
    + r"|_authToken=([A-Za-z0-9+/=_-]{20,})"
    + r"|(?:^|[^A-Za-z0-9_.]|\\[nrt])_(?:auth|password)\s?=\s?[\"\\]{0,2}([A-Za-z0-9+/]{12,}={0,2})",
    "a token of RubyGems or crates.io": _key(r"rubygems_[0-9a-f]{48}|cio[A-Za-z0-9]{32}") + r"(?:[^A-Za-z0-9_]|$)",
    "a token of Docker": _key(r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}"),
    "a key of SendGrid": _key(r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    "a key of Mailgun": _START.replace("[^A-Za-z0-9]", "[^A-Za-z0-9_-]")
    + r"(key-[0-9a-f]{32})(?:[^A-Za-z0-9]|$)"
    + "|"
    + _key(r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}")
    + r"(?:[^A-Za-z0-9-]|$)",
    "a key of Mailchimp": _key(r"[0-9a-f]{32}-us[0-9]{1,2}") + r"(?:[^A-Za-z0-9]|$)",
    "a key of Twilio": _key(r"SK[0-9a-f]{32}") + r"(?:[^A-Za-z0-9]|$)",
    "a token of Databricks": _key(r"dapi[0-9a-f]{32}"),
    "a token of DigitalOcean": _key(r"do[oprt]_v1_[0-9a-f]{64}"),
    "a key of Cloudflare": _key(r"v1\.0-[0-9a-f]{24}-[0-9a-f]{120,}"),
    "a token of HashiCorp": _key(r"hv[bs]\.[A-Za-z0-9_-]{60,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    "a token of Grafana": _key(r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/=]{32,}"),
    "a key of New Relic": _key(r"NRAK-[A-Z0-9]{27}"),
    "a token of Sentry": _key(r"sntrys_[A-Za-z0-9+/=_]{40,}|sntryu_[0-9a-f]{64}"),
    "a token of Notion, Linear or Figma": _key(
        r"(?:ntn|secret)_[A-Za-z0-9]{43,50}|lin_api_[A-Za-z0-9]{40}|figd_[A-Za-z0-9_-]{40,}"
    ),
    "a token of Airtable": _key(r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    "a key of Postman": _key(r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    "a key of Supabase": _key(r"sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,}"),
    "a key that its name tells": _named(
        r"(?:azure|openai|anthropic|cohere|mistral|deepseek|groq|xai|nvidia|together|fireworks|voyage|pinecone|qdrant"
        r"|weaviate|cloudflare|cf|datadog|comet|elevenlabs|deepgram|assemblyai|mailchimp|mailgun|sendgrid|twilio|heroku"
        r"|algolia|kaggle)[a-z0-9_.( -]{0,24}(?:key|token|secret)"
        rf"|{_START}co_api_key",
        r"[A-Za-z0-9_~.+/=-]{20,}",
    ),
    "a key under a common name": _named(
        r"api[_ -]?key|client[_ -]?secret|secret[_ -]?key|(?:access|auth|bearer)[_ -]?token",
        r"[A-Za-z0-9_~.+/=-]{20,}",
    )
    + rf"|(?i:authorization){_IS}(?i:bearer|basic|token)\s{{1,3}}([A-Za-z0-9._~+/=-]{{16,}})",
    "a JSON Web Token": _key(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    # Lines, quoted or not, and headers, of which encrypted keys and those of PGP have some.
    + r"(?:\s|\\+[rn]|[\"'+,>#|]|(?:Version|Comment|Hash|Charset|MessageID|Proc-Type|DEK-Info|X-[A-Za-z-]+):[^\n\\]*)*"
    + r"([A-Za-z0-9+/=]{8}[A-Za-z0-9+/=\s\\\"',>#|]*)"
    + r"|Private-Lines: [0-9]+(?:\s|\\+[rn])+([A-Za-z0-9+/=]{40}[A-Za-z0-9+/=\s]*)"
    + "|"
    + _key(r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    "a password of a .netrc": r"machine\s+\S+\s+login\s+\S+\s+password\s+(\S{8,})",
    # An `@` or a `/` in it should be written as %40 or %2F, and often is not.
    "a password in an address": r"[A-Za-z][A-Za-z0-9+.-]+://(?:"
    r"[^\s/:@'\"<>\\(),]*:([^\s/'\"<>\\]{3,})|[^\s/:@'\"<>\\(),.]*:([^\s/@'\"<>\\]+(?:/[^\s/'\"<>\\]+)+)"
    r")@[A-Za-z0-9\[]",
}
"""Expressions that re and RE2 read alike, by what they find; the group that matched holds the key. Of two that begin at
one place the first counts."""

_HINTS: Mapping[str, str] = {
    "a token of Telegram": r"[0-9]:[A-Za-z0-9_-]{35}",
    "a token of Discord": r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
    "a key of Mailgun": r"key-[0-9a-f]{32}|[0-9a-f]-[0-9a-f]{8}-[0-9a-f]{8}",
    "a key of Mailchimp": r"[0-9a-f]-us[0-9]",
    "a key of Azure": r"(?i:Key)=[A-Za-z0-9+/]{40}|sig=[A-Za-z0-9%+/]{40}|[0-9]Q~[A-Za-z0-9_~.-]{31}",
    "a token of HashiCorp": r"hv[bs]\.[A-Za-z0-9_-]{60}|\.atlasv1\.",
    "a secret key of AWS": rf"(?:(?i:secret|key){_IS}|A[KS]IA[0-9A-Z]{{16}}[\"\\,;]{{1,5}})[A-Za-z0-9/+]{{40}}",
    "a key that its name tells": rf"(?i:key|token|secret){_IS}[A-Za-z0-9_~.+/=-]{{20}}",
    "a private key": r"-----BEGIN |Private-Lines: |AGE-SECRET-KEY-",
    "a key under a common name": rf"(?i:key|token|secret){_IS}[A-Za-z0-9_~.+/=-]{{20}}|(?i:authorization){_IS}",
    "a password in an address": r"://[^\s/:@'\"<>\\(),]*:[^\s'\"<>\\]{3,}@",
    "a token of Airtable": r"pat[A-Za-z0-9]{14}\.",
}
"""Parts of those rules that begin with what is everywhere."""

LONGEST = 1 << 13
"""Characters of a key by which it is told from others."""

_TOGETHER = 8
"""Rules that are tried where one of them may match."""

_OWN = "the token in use"
_NAMED = ("a key that its name tells", "a key under a common name")
_PASSWORDS = ("a password in an address", "a password of a .netrc")
_MARKS = re.compile(
    r"example|placeholder|your[-_]|redacted|change[-_]?me|dummy|x{6}"
    r"|eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l|QWxhZGRpbjpvcGVuIHNlc2FtZQ",
    re.IGNORECASE,
)
"""What people write in keys that are none; AWS documents its own with EXAMPLE, jwt.io shows that of John Doe, and the
standard of HTTP the password of Aladdin."""
_SHORTEST_PRIVATE = 40
"""Letters and digits of a private key; what is shorter only shows how one begins."""
_VARIABLE = re.compile(r"\$\w+|[$%]?[{(\[].*[})\]]s?|%s")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_PORT = re.compile(r"\d{1,5}[/?#].*")
"""A port and a path with an `@` in it, as in `http://localhost:8000/users/me@home`."""
_USUAL = re.compile(
    r"(?:my|your)?[_-]?(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:api[_-]?)?key|user(?:name)?|admin|root|guest"
    r"|postgres|mysql|redis|mongo(?:db)?|rabbit(?:mq)?|default|test(?:ing)?|foo|bar|baz|pw)\d?",
    re.IGNORECASE,
)
"""Passwords in addresses that are known to everybody."""
_PAIRS = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic "
    "ne ea ra ce li ch ll be ma si om ur el la ec il et ut ot us ta ke"
)
"""Pairs of letters that are more than half of those in English words, and a tenth of random ones."""
_IN_ORDER = "abcdefghijklmnopqrstuvwxyz 01234567890 0a za 9a z0 z1 qwertyuiopasdfghjklzxcvbnm"
"""Pairs of letters that follow one another where somebody only counts, or runs over a keyboard."""


class Secret(NamedTuple):
    """What looks like a key in a text."""

    kind: str
    start: int
    """Of the key, in characters."""
    end: int
    digest: str | None
    """Names it without telling it; None for the token in use, which nothing lets through."""


def secrets_in(texts: Any, own: str | None = None) -> Iterator[tuple[int, Secret]]:
    """What looks like a key in each of several texts, with the index of the text.

    Args:
        texts: pyarrow array of strings or bytes.
        own: a key that is known, such as the token in use.
    """
    known = {_OWN: re.compile(re.escape(own))} if own else {}
    indices = _matching(texts, "|".join([*(rule.pattern for rule in known.values()), _ANY]))
    if not indices:
        return
    found: dict[int, list[tuple[int, int, Secret]]] = {}
    for kind, rule, index in _possible(texts.take(pa.array(indices)), known):
        value = texts[indices[index]].as_py()
        # Of bytes each becomes a character.
        text = value if isinstance(value, str) else value.decode("latin-1")
        for start, end in _keys(rule, text):
            key = text[start:end]
            if kind == _OWN or not _is_none(kind, key):
                digest = None if kind == _OWN else hashlib.sha256(key.encode()).hexdigest()[:12]
                found.setdefault(indices[index], []).append((start, _ORDER[kind], Secret(kind, start, end, digest)))
    for index in sorted(found):
        after = 0
        for start, _, secret in sorted(found[index]):
            # A key of Anthropic's looks like one of OpenAI's too.
            if start >= after:
                after = secret.end
                yield index, secret


def _possible(texts: Any, known: Mapping[str, re.Pattern[str]]) -> Iterator[tuple[str, re.Pattern[str], int]]:
    """The rules that match, and the index of the text; told by RE2, which is many times as fast as re."""
    for kind, rule in known.items():
        for index in _matching(texts, rule.pattern):
            yield kind, rule, index
    for hint, rules in _GROUPS:
        if indices := _matching(texts, hint):
            some = texts.take(pa.array(indices))
            for kind, rule in rules.items():
                for index in _matching(some, rule.pattern):
                    yield kind, rule, indices[index]


def _matching(texts: Any, pattern: str) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.match_substring_regex(texts, pattern)).to_pylist()
    return found


def secrets_in_text(text: str, own: str | None = None) -> list[Secret]:
    """What looks like a key in a text.

    Args:
        text: any.
        own: see `secrets_in`.

    Example:
        >>> [secret.kind for secret in secrets_in_text("id: " + "AKIA" + "Q3EGRIZKYB7XWN5T")]
        ['an access key of AWS']
    """
    return [secret for _, secret in secrets_in(pa.array([text], pa.large_string()), own)]


@lru_cache(maxsize=1024)
def without_secrets(text: str, own: str | None = None) -> str:
    """A text with `***` in place of all that looks like a key.

    Args:
        text: any.
        own: see `secrets_in`.
    """
    shown = text
    for secret in reversed(secrets_in_text(text, own)):
        shown = f"{shown[: secret.start]}***{shown[secret.end :]}"
    return shown


def _keys(expression: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each match's key."""
    place = 0
    while (match := expression.search(text, place)) is not None:
        start, end = match.span(match.lastindex or 0)
        yield start, end
        # What stands behind this key may stand before the next one.
        place = end


def _is_none(kind: str, key: str) -> bool:
    """Whether a key is a placeholder or a name."""
    letters = [letter for letter in key.lower() if letter.isalnum()]
    most = max(Counter(letters).values(), default=0)
    if _MARKS.search(key) or not letters or most >= 0.4 * len(letters) or _counts(letters):
        return True
    if kind in _PASSWORDS:
        return any(form.fullmatch(key) for form in (_USUAL, _VARIABLE, _VERSION, _PORT))
    if kind == "a private key" and len(letters) < _SHORTEST_PRIVATE:
        return True
    return _reads_as_words(key) or (kind in _NAMED and _is_a_name(key))


def _counts(letters: list[str]) -> bool:
    """Whether half of the letters are followed by the next ones."""
    return 2 * sum(a + b in _IN_ORDER for a, b in pairwise(letters)) >= len(letters)


def _is_a_name(key: str) -> bool:
    """Whether a value is many short parts or all letters, as the name of a file or a setting is."""
    return max(map(len, re.findall(r"[A-Za-z0-9]+", key))) < 8 or sum(map(str.isdigit, key)) < 2


def _reads_as_words(key: str) -> bool:
    """Whether a key is words in a row, as in the name of a class or function.

    Of random keys without digits, which all others are, three in 20,000 read so.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", key)
    size, digits = sum(map(len, words)), sum(map(str.isdigit, key))
    pairs = [word[i : i + 2].lower() in _PAIRS for word in words for i in range(len(word) - 1) if word.isalpha()]
    return bool(pairs) and digits <= 0.1 * size and size >= 3 * len(words) and sum(pairs) >= 0.33 * len(pairs)


def _hint(kinds: Iterable[str]) -> str:
    """Finds all that some rules find, and little else; the rules together would take RE2 a hundred times as long."""
    return "|".join(f"(?:{_HINTS.get(kind, RULES[kind].replace(_START, ''))})" for kind in kinds)


_ORDER = {kind: order for order, kind in enumerate([_OWN, *RULES])}
_GROUPS = [
    (_hint(kinds), {kind: re.compile(RULES[kind], re.ASCII) for kind in kinds})
    for kinds in ([*RULES][i : i + _TOGETHER] for i in range(0, len(RULES), _TOGETHER))
]
_ANY = _hint(RULES)
