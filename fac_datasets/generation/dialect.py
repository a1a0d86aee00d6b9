"""Which parts of OpenAI's protocol a server takes, learned from what it says when it refuses one."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

_SAID = {
    "max_tokens": "the limit of tokens is called max_completion_tokens there",
    "stream": "it only streams, and is asked for that",
    "seed": "it takes no seed, so that the same request may give another text",
    "top_p": "it takes no top_p, and samples with its own",
    "temperature": "it takes no temperature, and samples at its own",
    "temperature=0": "it takes no temperature of 0, which is left out",
    "response_format": "it holds no answer to a JSON schema, which the prompt alone describes",
    "stream_options": "it does not say in a stream how many tokens it took, which are then estimated",
}
"""What is said of each thing that a server refuses, in the order in which one of several is given up."""

_NAMES = {
    "response_format": r"response_format|json_schema|structured[_ ]outputs?|guided|grammar",
    "stream_options": r"stream_options|include_usage",
}
_UNKNOWN = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|accepted|available|recogni[sz]ed|implemented|specified)"
    r"|(?:does|do)(?: not|n't) (?:support|accept|allow|have)|unknown|unrecogni[sz]ed|unexpected|extra|invalid"
    r"|deprecated|no longer|only (?:the )?default|use only one|unavailable|must be (?:strictly )?(?:positive|1)",
    flags=re.IGNORECASE,
)
_WRONG_VALUE = re.compile(
    r"too (?:large|long|many|big|high|low)|maximum|context length|exceed|between|out of range|less than|at most",
    flags=re.IGNORECASE,
)
_STREAM = re.compile(
    r"\bstream\b.{0,40}\b(?:only|must|required?|enabled?|true)\b|(?:only|must|require|enable|please).{0,40}\bstream"
    r"|non-?streaming",
    flags=re.IGNORECASE,
)


class Dialect:
    """What of the protocol a server takes; all of it until it says otherwise.

    Args:
        server: its name, for what is said.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.refused: set[str] = set()

    def parameters(
        self,
        *,
        max_new_tokens: int,
        temperature: float,
        top_p: float | None,
        seed: int,
        schema: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """The parameters of a request beside its messages."""
        wanted = {
            "temperature": None if temperature == 0 and "temperature=0" in self.refused else temperature,
            "top_p": top_p,
            "seed": seed,
            "response_format": None if schema is None else response_format(schema),
        }
        found = {name: value for name, value in wanted.items() if value is not None and name not in self.refused}
        limit = "max_completion_tokens" if "max_tokens" in self.refused else "max_tokens"
        streamed: dict[str, Any] = {}
        if "stream" in self.refused:
            streamed["stream"] = True
            if "stream_options" not in self.refused:
                streamed["stream_options"] = {"include_usage": True}
        return {limit: max_new_tokens, **found, **streamed}

    def learn(self, sent: Mapping[str, Any], error: str) -> bool:
        """Whether a refusal is one of a parameter, which is not sent again.

        Args:
            sent: parameters of the request that was refused.
            error: body of the refusal.
        """
        found = _refused_parameter(sent, _complaint(error))
        if found is not None and found not in self.refused:
            self.refused.add(found)
            logger.warning("%s: %s", self.server, _SAID[found])
        return found is not None


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """How a request asks for an answer of a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}


def _refused_parameter(sent: Mapping[str, Any], complaint: str) -> str | None:
    """What of a request a server does not take; None where it refuses something else, such as a value."""
    if "stream" not in sent and _STREAM.search(complaint):
        return "stream"
    if not _UNKNOWN.search(complaint):
        return None
    wrong_value = _WRONG_VALUE.search(complaint)
    for name in (name for name in _SAID if name in sent):
        if _is_named(name, complaint) and (name == "response_format" or not wrong_value):
            zero = name == "temperature" and sent[name] == 0 and re.search("positive", complaint)
            return "temperature=0" if zero else name
    return None


def _is_named(name: str, complaint: str) -> bool:
    return re.search(rf"(?<![a-z_])(?:{_NAMES.get(name, name)})(?![a-z_])", complaint, flags=re.IGNORECASE) is not None


def _complaint(error: str) -> str:
    """What an error's body complains about and what it names, without an echo of the request."""
    try:
        body = json.loads(error)
    except ValueError:
        return error
    found = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(found, dict):
        return str(found)
    details = found.get("detail")
    if isinstance(details, list):
        parts = [part for part in details if isinstance(part, dict)]
        return "; ".join(f"{part.get('msg')}: {[*part.get('loc', ())][-1:]}" for part in parts)
    return " ".join(str(found.get(key) or "") for key in ("message", "detail", "param", "code"))
