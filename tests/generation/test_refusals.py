"""A model's refusal is told from a text that is about one, in the languages that models refuse in."""

from __future__ import annotations

import pytest

from fac_datasets.generation.refusals import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "I am sorry, I cannot fulfill this request.",
        "Sorry, I can't help you with that.",
        "I apologize, but I cannot provide that kind of content.",
        "I sincerely apologize, but I am not able to generate such a text.",
        "I cannot create content that promotes hate.",
        "I can't write a text that insults people.",
        "I won't write that.",
        "I'm unable to assist with this.",
        "I am not able to generate harmful content.",
        "I'm not comfortable writing this kind of message.",
        "I don't feel comfortable creating that.",
        "I must decline this request.",
        "I respectfully have to decline.",
        "As an AI language model, I do not have opinions.",
        "As an AI, I can't do that.",
        "Unfortunately, I can't share instructions for that.",
        "This request goes against my guidelines.",
        "**I'm sorry, but I can't help with that.**",
        "Es tut mir leid, aber dabei kann ich dir nicht helfen.",
        "Tut mir leid, aber ich kann diese Anfrage nicht erfüllen.",
        "Je suis désolé, mais je ne peux pas vous aider avec cela.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti con questo.",
        "Desculpe, mas não posso ajudar com isso.",
        "Sorry, maar ik kan je daar niet mee helpen.",
        "Извините, но я не могу помочь с этим.",
        "很抱歉，我无法提供这样的内容。",
        "对不起，我不能帮助您完成这个请求。",
        "申し訳ありませんが、そのご要望にはお応えできません。",
        "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    ],
)
def test_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't come tonight.",
        "I can't help but smile.",
        "I cannot find my keys.",
        "Unfortunately, I can't swim.",
        "She said: I'm sorry, but I can't help with that.",
        "Sorry we are late.",
        "As an artist, I draw.",
        "The request was denied.",
        "I must say that it rains.",
        "Boil the rice.",
        "Leider kann ich heute nicht kommen.",
        "Je suis désolé, je suis en retard.",
        "很抱歉，我迟到了。",
        "",
    ],
)
def test_no_refusal(text: str) -> None:
    assert not is_refusal(text)
