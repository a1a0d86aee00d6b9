"""What an answer holds besides the text that was asked for, and which answers are none."""

from __future__ import annotations

import re
from typing import NamedTuple

from fac_datasets.generation.base import Completion, Outcome
from fac_datasets.generation.refusals import is_refusal


class Answer(NamedTuple):
    """The text of an answer, or why there is none."""

    text: str
    """Without what was taken off; empty where there is a problem."""
    problem: Outcome | None = None
    """Why it is no text; None where it is one."""
    taken_off: tuple[str, ...] = ()
    """What stood around the text: `reasoning`, `preface`, `closing remark`, `code fence`, `quotation marks`,
    `end token`, `half a character`."""


_OPENED = r"(?:<(?:think|thinking|thoughts?|reasoning|seed:think)>|\[THINK\]|◁think▷|<\|begin_of_thought\|>)"
_CLOSED = r"(?:</(?:think|thinking|thoughts?|reasoning|seed:think)>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>)"
_REASONING = re.compile(rf"{_OPENED}.*?{_CLOSED}", flags=re.DOTALL | re.IGNORECASE)
_UP_TO_ITS_END = re.compile(rf"\A.*(?:{_CLOSED}|<\|channel\|>final<\|message\|>)", flags=re.DOTALL | re.IGNORECASE)
"""Templates may open the reasoning themselves, and the answer then only closes it."""
_UNCLOSED = re.compile(rf"{_OPENED}|<\|channel\|>(?:analysis|commentary)", flags=re.IGNORECASE)

_TEMPLATE = (
    r"(?:<[|｜][^<>\s|｜]{1,40}[|｜]?>|<[^<>\s|｜]{1,40}[|｜]>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|<<?/?SYS>>"
    r"|<(?:BOS|EOS|END_OF_TURN)_TOKEN>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)
_ANYWHERE = re.compile(_TEMPLATE)
_AT_THE_END = re.compile(rf"(?:\s*(?:{_TEMPLATE}|</s>))+\s*\Z")

_DAMAGED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")

_WILLING = (
    r"(?:(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|alright|no problem|gladly|understood|got it|yes)\b"
    r"[.!,:]?\s*(?:(?:i(?:'d|’d|'ll|’ll| would| will| can)|happy to|glad to)\b[^\n.!:]{0,60}[.!:,]\s*)?)"
)
_THING = (
    r"(?:texts?|samples?|examples?|ones?|paragraphs?|questions?|prompts?|messages?|instructions?|sentences?|versions?"
    r"|responses?|answers?|conversations?|dialogues?|pairs?|rows?|requests?|inputs?|outputs?|posts?|comments?|reviews?"
    r"|json|objects?)"
)
_PREFACE = re.compile(
    r"\A\W*(?:"
    rf"(?:{_WILLING})?(?:here(?:'s|’s| is| are)|below (?:is|are)|the following (?:is|are)|this is)"
    rf"\b[^\n:]{{0,60}}\b{_THING}\b[^\n:]{{0,80}}:"
    rf"|{_WILLING}here(?:'s|’s| is| are)\b[^\n:]{{0,120}}:"
    r"|(?:sure(?: thing)?|certainly|of course|absolutely)[!.,:]?\s*\n"
    r"|(?:klar|gerne|natürlich|sicher|selbstverständlich)\b[!.,]*\s*hier (?:ist|sind|kommt)\b[^\n:]{0,80}:"
    r"|(?:bien sûr|certainement|d'accord|volontiers)\b\s?[!.,]*\s*voici\b[^\n:]{0,80}:"
    r"|(?:claro(?: que sí)?|por supuesto|desde luego)\b[!.,]*\s*(?:aquí|aqui) (?:tienes?|está|hay|vai)\b[^\n:]{0,80}:"
    r"|(?:certo|certamente|con piacere)\b[!.,]*\s*ecco\b[^\n:]{0,80}:"
    r"|(?:当然|好的|没问题|當然)[！!，,。]?[^\n：:。]{0,30}[：:]"
    r"|(?:もちろん|はい|承知)[^\n：:。]{0,30}[：:]"
    r")\s*",
    flags=re.IGNORECASE,
)
_CLOSING = (
    r"(?:let me know\b|i hope (?:this|that|it)\b|(?:would you like|do you want|shall i|should i|need)\b|feel free to\b"
    r"|please let me know\b|if you(?:'d|’d| would)? (?:like|need|want)\b|is there anything else\b)[^\n]*"
)
_AFTER_A_PREFACE = re.compile(rf"(?:(?<=[.!?…\"”'’*`)])[ \t]+|\s*\n\s*){_CLOSING}\s*\Z", flags=re.IGNORECASE)
_OF_THE_TASK = re.compile(
    rf"\s*\n\s*(?={_CLOSING}\s*\Z)[^\n]*\b(?:another|anything else|adjust\w*|revis\w*|modif\w*|changes?|different"
    rf"|more {_THING}|further|help with)\b[^\n]*\s*\Z",
    flags=re.IGNORECASE,
)
"""A letter may end with "Let me know"; without a preface only what speaks of the task is a remark about it."""
_RULES = re.compile(r"\A(?:(?:-{3,}|\*{3,}|_{3,})[ \t]*\n)+|(?:\n[ \t]*(?:-{3,}|\*{3,}|_{3,}))+\s*\Z")
_FENCE = re.compile(r"\A(`{3,}|~{3,})[\w+-]*[ \t]*\n(.*?)(?:\n?\1\s*)?\Z", flags=re.DOTALL)
_QUOTED = re.compile(r"\A(?:\"([^\"]*)\"|“([^“”]*)”)\Z")


def answer_of(completion: Completion) -> Answer:
    """The text that a completion brings, or why it brings none; one that was cut off brings what there is.

    Args:
        completion: of any generator.

    Example:
        >>> answer_of(Completion("<think>A fruit...", 8, False)).problem
        <Outcome.REASONING: 'reasoning only'>
    """
    if completion.outcome in (Outcome.FINISHED, Outcome.CUT):
        return plain_answer(completion.text)
    return Answer("", completion.outcome)


def plain_answer(text: str) -> Answer:
    """The text that was asked for, in an answer that may hold more, or may be none.

    Reasoning, a code fence around it all, a preface, a remark behind it and an end token are taken off. A refusal, what
    never got past its reasoning, and a text with tokens of a chat template or damaged characters are no texts.

    Args:
        text: the answer of a model.

    Example:
        >>> plain_answer("Sure! Here is another text: Boil the rice. Let me know if you need more.")
        Answer(text='Boil the rice.', problem=None, taken_off=('preface', 'closing remark'))
        >>> plain_answer("I'm sorry, but I can't help with that.").problem
        <Outcome.DECLINED: 'declined by the model'>
    """
    taken: list[str] = []

    def without(what: str, shorter: str) -> None:
        nonlocal text
        if shorter != text:
            taken.append(what)
        text = shorter.strip()

    text = whole_characters(text).strip()
    without("half a character", text.rstrip("\ufffd"))
    without("reasoning", without_reasoning(text))
    if _UNCLOSED.search(text):
        return Answer("", Outcome.REASONING, tuple(taken))
    without("end token", _AT_THE_END.sub("", text))
    if is_refusal(text):
        return Answer("", Outcome.DECLINED, tuple(taken))
    without("preface", _PREFACE.sub("", text))
    prefaced = "preface" in taken
    if text:
        without("closing remark", (_AFTER_A_PREFACE if prefaced else _OF_THE_TASK).sub("", text))
    if prefaced or "closing remark" in taken:
        text = _RULES.sub("", text).strip()
    without("code fence", _FENCE.sub(r"\2", text))
    if prefaced:
        without("quotation marks", _QUOTED.sub(r"\1\2", text))
    problem = None
    if not text:
        problem = Outcome.REASONING if taken == ["reasoning"] else Outcome.EMPTY
    elif _DAMAGED.search(text):
        problem = Outcome.DAMAGED
    elif _ANYWHERE.search(text):
        problem = Outcome.TEMPLATE
    return Answer("" if problem else text, problem, tuple(taken))


def without_reasoning(text: str) -> str:
    """An answer without the reasoning before it; one that never ends stays.

    Example:
        >>> without_reasoning("They are fruits.</think> Apples"), without_reasoning("<think>They are")
        (' Apples', '<think>They are')
    """
    return _UP_TO_ITS_END.sub("", _REASONING.sub("", text))


def whole_characters(text: str) -> str:
    r"""A text whose halves of surrogate pairs are joined where both are there, and replaced where one is alone.

    Example:
        >>> whole_characters("\ud83d\ude00 \ud83d") == "\U0001f600 \N{REPLACEMENT CHARACTER}"
        True
    """
    return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")
