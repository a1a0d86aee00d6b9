"""Whether a text is that of a model that will not do what it was asked, in the languages that models speak most."""

from __future__ import annotations

import re

from fac_datasets.generation.phrases import phrases

CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
"""Stands for an apostrophe in what many models write."""

_SORRY = (
    r"(?:(?:i(?:'m| am)|we(?:'re| are)) (?:\w+ )?sorry|sorry|i (?:\w+ )?apologi[sz]e|(?:my )?apologies|unfortunately"
    r"|regrettably|as an ai\b[^,.\n]{0,30})[^.!?\n]{0,60}?"
)
_CANNOT = (
    r"(?:i|we)(?: can(?:'t|not| not)| (?:am|are|'m|'re)? ?(?:not able|unable) to|'m (?:not able|unable) to| won't"
    r"| will not| do(?:n't| not) (?:feel comfortable|think i (?:can|should))) ?"
)
_TASK = (
    r"(?:(?:help (?:you|with|create|creating|write|writing|to)|help ?[.!]|assist|compl(?:y|ying)|fulfil|engage in"
    r"|participate in|do (?:that|this)\b|go along)"
    r"|(?:writ|creat|generat|produc|provid|shar|offer|discuss|complet|answer|continu|support|promot|respond|mak)\w*"
    r" (?:[\w-]+ ){0,4}?(?:that|this|such|any|anything|content|texts?|materials?|information|instructions?|requests?"
    r"|messages?|examples?|prompts?|sentences?|questions?|stor(?:y|ies)|posts?|comments?|statements?|responses?)\b)"
)
_CREATING = r"(?:writ|creat|generat|produc|provid|shar|discuss|engag|continu|assist|help)\w*ing"

_REFUSALS = [
    re.compile(rf"\A\W*(?:{pattern})", flags=re.IGNORECASE)
    for pattern in (
        rf"{_SORRY}{_CANNOT}[^.!?\n]{{0,40}}?{_TASK}",
        rf"{_CANNOT}(?:\w+ ){{0,2}}?{_TASK}",
        r"(?:[^.!?\n]{0,60}?\b)?i (?:\w+ly )?(?:must|have to|need to|will have to)(?: \w+)? (?:decline|refuse)\b",
        rf"(?:{_SORRY})?i(?:'m| am) not (?:comfortable|willing|going|allowed|permitted)(?: with| to| in)? {_CREATING}",
        r"as an ai(?: language model| model| assistant)?,",
        r"(?:this|that|your|the) (?:request|prompt|topic|content|question)\b[^.!?\n]{0,40}?"
        r"(?:goes against|violates|is against|(?:isn't|is not) something (?:that )?i can)",
        *phrases("refusals"),
    )
]


def is_refusal(text: str) -> bool:
    """Whether a text begins like that of a model that will not do what it was asked.

    Args:
        text: an answer.

    Example:
        >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("I'm sorry, but I can't come tonight.")
        (True, False)
    """
    begins = text.lstrip()[:300].replace(CURLY, "'")
    return any(pattern.match(begins) for pattern in _REFUSALS)
