"""Chats as parts of a sample, `prompt`, `response`, `prompt_2` and so on, and parts as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fac_datasets.rows.messages import NOT_POOLED
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.sections import numbered, unnumbered

PROMPT, RESPONSE = "prompt", "response"

USER, ASSISTANT = "user", "assistant"

PROMPT_HEADERS = ("Prompt", "Instruction", "Question", "User", "Human", "Task")
"""Headers of what a user says: the one that is shown, and others that generators write."""

TURNS = 3
"""Turns of a chat that are shown of a longer one."""

RESPONSE_HEADERS = ("Response", "Answer", "Assistant", "Output", "Completion")
"""The same of what an assistant says."""


def parts_of(messages: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], str] | None:
    """Texts by part, and the system prompt, of a chat in which user and assistant alternate; None of any other.

    Example:
        >>> parts_of([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}])
        ({'prompt': 'Hi.', 'response': 'Hello.'}, '')
    """
    n_system = next((i for i, each in enumerate(messages) if each["role"] not in NOT_POOLED), len(messages))
    system = "\n\n".join(each["content"] for each in messages[:n_system])
    texts: dict[str, str] = {}
    for turn, message in enumerate(messages[n_system:]):
        role, part = ((USER, PROMPT), (ASSISTANT, RESPONSE))[turn % 2]
        if message["role"] != role:
            return None
        texts[numbered(part, turn // 2 + 1)] = message["content"]
    return texts, system


def messages_of(sample: Sample) -> list[dict[str, str]]:
    """The parts of a sample as messages behind its system prompt; all but prompts are an assistant's."""
    said = [
        {"role": USER if unnumbered(part)[0] == PROMPT else ASSISTANT, "content": text}
        for part, text in sample.texts.items()
    ]
    return [*([{"role": "system", "content": sample.system}] if sample.system else []), *said]


def few_turns(texts: Mapping[str, str], around: str = "") -> dict[str, str]:
    """The parts of a chat of a few turns, numbered anew: those about a text, else the first ones; a pair keeps its end.

    Example:
        >>> chat = {f"{part}_{turn}" if turn > 1 else part: f"{part} {turn}" for turn in range(1, 9) for part in
        ...         ("prompt", "response")}
        >>> few_turns(chat, "response 6")["response_2"]
        'response 6'
    """
    exchanges: list[list[tuple[str, str]]] = []
    for part, text in texts.items():
        name, _ = unnumbered(part)
        if name == PROMPT or not exchanges:
            exchanges.append([])
        exchanges[-1].append((name, text))
    if len(exchanges) <= TURNS:
        return dict(texts)
    is_pair = exchanges[-1][-1][0] not in (PROMPT, RESPONSE)
    holding = [place for place, said in enumerate(exchanges) if around and any(around in text for _, text in said)]
    place = holding[0] if holding else len(exchanges) if is_pair else 0
    first = max(0, min(place - 1, len(exchanges) - TURNS))
    kept = exchanges[first : first + TURNS]
    if is_pair:
        kept[-1] = exchanges[-1]
    return {
        numbered(name, turn) if name in (PROMPT, RESPONSE) else name: text
        for turn, said in enumerate(kept, start=1)
        for name, text in said
    }


def in_turn(sections: Sequence[tuple[str, str]], last: Sequence[str]) -> dict[str, str] | Rejected:
    """Sections as texts by part: prompts and responses in turn, and what a sample ends with.

    Args:
        sections: parts, numbered or not, with their texts.
        last: the parts behind the last prompt.

    Example:
        >>> in_turn([("prompt", "Hi."), ("chosen", "Hello."), ("rejected", "What?")], ["chosen", "rejected"])
        {'prompt': 'Hi.', 'chosen': 'Hello.', 'rejected': 'What?'}
    """
    names = [unnumbered(part)[0] for part, _ in sections]
    n_turns = names.count(PROMPT)
    expected = [*[PROMPT, RESPONSE] * max(n_turns - 1, 0), PROMPT, *last]
    for name in expected:
        if name not in names:
            return Rejected(f"no {name}")
    if names != expected:
        return Rejected("parts in another order than asked for")
    texts, counted = {}, dict[str, int]()
    for name, (_, text) in zip(names, sections, strict=True):
        counted[name] = counted.get(name, 0) + 1
        texts[numbered(name, counted[name])] = text
    return texts
