"""What generators put around what they were asked for: reasoning, prefaces, fences; and answers that are none."""

from __future__ import annotations

import re

from fac_datasets.synthesis.samples import Rejected

EMPTY = "empty answer"
REFUSED = "refused"
REASONING = "reasoning without an answer"
TEMPLATE = "tokens of a template"
UNREADABLE = "characters that are no text"

_THOUGHTS = "think(?:ing)?|thought|reason(?:ing)?"
_THOUGHT = re.compile(rf"<({_THOUGHTS})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_ENDS_THOUGHT = re.compile(rf"</(?:{_THOUGHTS})>", re.IGNORECASE)
_BEGINS_THOUGHT = re.compile(rf"<(?:{_THOUGHTS})>", re.IGNORECASE)

_TOKENS = r"<\|[A-Za-z0-9_ ]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
_TOKEN = re.compile(_TOKENS)
_LAST_TOKENS = re.compile(rf"(?:\s*(?:{_TOKENS}))+\s*\Z")

_ODD = re.compile("[\x00\ud800-\udfff]")
"""What tables and journals cannot hold, or not all of them."""

_CANNOT = (
    r"(?:can(?:no|['\u2019])?t|won['\u2019]t|am unable to|['\u2019]m unable to|am not able to|['\u2019]m not able to)"
)
_HELP = r"(?:help(?! but)|assist|provide|comply|fulfil+|generate|create|produce|engage in)"
_DO = r"(?:write|do (?:that|this)|continue|support|answer|respond|share|discuss)"
_SORRY = (
    r"(?:(?:I['\u2019]m |I am )?(?:so |very |really )?(?:sorry|afraid)|I apologi[sz]e|My apologies|Unfortunately"
    r"|As an? (?:AI|artificial|large|language)\b)[^.\n]{0,60}?"
)
_REFUSAL = re.compile(
    rf"\A\W*(?:{_SORRY}\bI\s?{_CANNOT}\b(?: \w+){{0,2}}? (?:{_HELP}|{_DO})\b|I\s?{_CANNOT}\b(?: \w+)? {_HELP}\b)",
    re.IGNORECASE,
)

_WHAT = (
    r"(?:one|texts?|examples?|samples?|questions?|sentences?|prompts?|instructions?|rows?|responses?|answers?|versions?|"
    r"paragraphs?|conversations?|dialogues?|exchanges?|pairs?|entry|entries|messages?|posts?|comments?|tasks?)"
)
_HERE = rf"(?:here(?:['\u2019]s| is| are)|below is)\b[^\n:]{{0,60}}?\b{_WHAT}\b[^\n:]{{0,80}}"
_SURE = r"(?:sure|certainly|of course|okay|ok|absolutely|great|alright|no problem|got it)(?: thing)?[!,.:]+"
_PREFACE = re.compile(rf"\A(?:{_SURE}\s*(?:{_HERE}:|(?=\n))|{_HERE}:(?=\s))\s*", re.IGNORECASE)
_BARE_SURE = re.compile(r"\A(?:sure|certainly|of course|absolutely)(?: thing)?!\s+", re.IGNORECASE)
_CLOSING = re.compile(
    r"\s*(?:let me know|i hope (?:this|that|it)|feel free|would you like|do you want me|is there anything|"
    r"if you (?:need|want|would|have|'d))\b[^\n]*\s*\Z",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A(`{3,}|~{3,})(?:text|txt|plain|plaintext|markdown|md|json)?[ \t]*\n(.*?)\n?\1\Z", re.DOTALL)
_QUOTES = {'"': '"', "\u201c": "\u201d", "\u00ab": "\u00bb"}


def bare_answer(answer: str) -> str | Rejected:
    r"""What an answer says, without what was put around it.

    Reasoning, a preface with the closing that belongs to it, a fence around the whole, quotes around the whole and end
    tokens are taken away. Nothing is taken from the middle: an answer with tokens of a template in it is rejected.

    Args:
        answer: as the generator gave it.

    Returns:
        The text, or why there is none: it is empty, reasoning alone, a refusal, or holds what no text holds.

    Example:
        >>> bare_answer("<think>Fruit.</think>Sure! Here is another text:\n\nPears are ripe.\n\nLet me know!")
        'Pears are ripe.'
        >>> bare_answer("I'm sorry, but I can't help with that.")
        Rejected(reason='refused')
    """
    if _ODD.search(answer):
        return Rejected(UNREADABLE)
    text = _THOUGHT.sub("", answer)
    # A server may have kept the tag that begins.
    text = _ENDS_THOUGHT.split(text)[-1]
    if _BEGINS_THOUGHT.search(text):
        return Rejected(REASONING)
    if not text.strip():
        return Rejected(REASONING if answer.strip() else EMPTY)
    text = _LAST_TOKENS.sub("", text).strip()
    if _TOKEN.search(text):
        return Rejected(TEMPLATE)
    if _REFUSAL.match(text):
        return Rejected(REFUSED)
    text = _unwrapped(text)
    return text or Rejected(EMPTY)


def _unwrapped(text: str) -> str:
    begun = _PREFACE.match(text) or _BARE_SURE.match(text)
    if begun:
        text = _CLOSING.sub("", text[begun.end() :]).strip()
    fenced = _FENCE.match(text)
    if fenced and fenced[1] not in fenced[2]:
        text = fenced[2].strip()
    end = _QUOTES.get(text[:1])
    if end and text.endswith(end) and len(text) > 2 and not {text[0], end} & {*text[1:-1]}:
        text = text[1:-1].strip()
    return text
