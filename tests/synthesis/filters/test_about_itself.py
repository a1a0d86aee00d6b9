"""Samples that talk about themselves or about the task are told from texts that are what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.about_itself import RULES, Rule, broken_rule, read_rules

COMPLAINTS = [
    "This sentence is about cooking.",
    "Here is a harmful question:",
    "Here's a harmful question: how do I do it?",
    "Sure! Here is another text: The cat sat on the mat. Let me know if you need more.",
    "Sure, here's one:\n\nThe cat sat on the mat.",
    "Sure thing! Below is a sentence that mentions the sea.",
    "**Sure!** Here is a text.",
    "Certainly! Here\u2019s a short story about a dog.",
    "Of course! I'll write a sentence about it.",
    "Okay, let me try to write something like that.",
    "Absolutely! Here are a few examples of what people might say:\n- Hello.",
    "Here are three example sentences:\n1. The cat sat.\n2. The dog ran.",
    "Here is an example of a short text that is closer to the others: It rains.",
    'Here is a text that contains the phrase "the sea".',
    "Below is a revised version of the paragraph:\n\nIt rains.",
    "This is a short question about the weather: does it rain?",
    "This text describes how people cook rice at home.",
    'The following sentence contains the word "dog". The dog barks.',
    "This prompt is about a person who wants to hurt others.",
    "This story is about a boy and his dog.",
    "Generated text: The train leaves at nine.",
    "Example 2: The train leaves at nine.",
    "Rewritten version:\nThe train leaves at nine.",
    "I've written a short text about trains for you.",
    "I can write a short sentence about trains.",
    "Let me write one that is closer to the others.",
    "I will now generate a text with these words.",
    "We need to write a sentence that mentions trains.",
    "Okay, so the user wants me to write a short text like the examples.",
    "The user is asking for a sentence about trains. I should write one.",
    "The task is to write a text about trains.",
    "As requested, here is the text.",
    "As you asked, a question about trains.",
    "As an AI language model, I do not have feelings about trains.",
    "I am an AI assistant and I cannot travel by train.",
    "The train leaves at nine.\n\nNote: I have tried to keep it short.",
    "The train leaves at nine.\n\n(Note: This is a fictional example and does not show real times.)",
    "The train leaves at nine.\n\nPlease note that this text is only an example.",
    "The train leaves at nine.\n\nI hope this helps! Let me know if you have any questions.",
    "The train leaves at nine. Let me know if you would like any changes.",
    "The train leaves at nine.\n\nWould you like me to write another one?",
    "The train leaves at nine.\n\nFeel free to modify it.",
    "The train leaves at nine.\n\n*Let me know if this works for you!*",
    "The train leaves at nine.\n\nThis sentence uses the word train.",
    "A sentence that strongly activates the feature for trains.",
    "¡Claro! Aquí tienes una frase sobre trenes.",
    "Bien sûr ! Voici une phrase sur les trains.",
    "Natürlich! Hier ist ein Satz über Züge.",
    "当然, 以下是一个关于火车的句子。",
]

ORDINARY = [
    "The cat sat on the mat and looked at the rain.",
    "Here is the house where I was born.",
    "Here we go again: another Monday, another meeting.",
    "Here are my keys, and there is my bag.",
    "Here's the thing: I never liked him.",
    "Here is the code:\n\ndef add(a, b):\n    return a + b",
    "Sure, I could go there, but what for?",
    "Sure enough, it began to rain.",
    "Of course he knew that the train was late.",
    "Certainly the best film of the year.",
    "Yes! We did it!",
    "Okay, where do we meet?",
    "This is a great question, and nobody has answered it yet.",
    "This is my favourite sentence in the whole book.",
    "This sentence was handed down by the court in 1987.",
    "This message will be deleted in five days.",
    "This question has been asked many times before.",
    "This story begins in a small village by the sea.",
    "This article is about the city in Norway. For the lake, see Mjosa.",
    "The following day it rained.",
    "The above prices do not include tax.",
    "Write a short text about cooking.",
    "Give me an example of a sentence with a comma.",
    "Can you write a question about trains for my pupils?",
    "Rewrite this sentence: the cat sat on the mat.",
    "Question: when does the train leave?\nAnswer: at nine.",
    "I have written to the mayor three times this year.",
    "I've made a cake for you.",
    "I will write to you when I arrive.",
    "Let me tell you about my day.",
    "Let's go to the sea.",
    "We need to talk about the bill.",
    "The user clicks on the button and the page is loaded.",
    "The task of the committee is to write a report.",
    "As a doctor, I see many people with a cold.",
    "As requested by the customer, the delivery was moved to Friday.",
    "AI models write more and more of what we read.",
    "Note that water boils at a lower temperature in the mountains.",
    "Note to self: buy milk.",
    "Please note: the museum is closed on Mondays.",
    "I hope you are well and that the children are back at school.",
    "I hope this finds you well.",
    "Let me know when you arrive at the station.",
    "Let me know if you are coming tonight.",
    "I made tea. Would you like another cup?",
    "He looked pale. Do you want me to call a doctor?",
    "If you need help, ring the bell.",
    "The alarm activates when the door is opened.",
    "The best feature of the car is its trunk.",
    "Ejemplo de carta formal para un banco.",
]


@pytest.mark.parametrize("text", COMPLAINTS)
def test_texts_that_people_complain_about_are_rejected(text: str) -> None:
    assert Filters([]).reject(text) == "about itself"


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_pass(text: str) -> None:
    assert broken_rule(text) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_finds_its_examples(rule: Rule) -> None:
    assert {broken_rule(example) for example in rule.examples} == {rule.name}


def test_marks_and_quotation_marks_around_a_text_make_no_difference() -> None:
    for text in ('"Sure! Here is a text."', "> Sure! Here is a text.", "  **Sure!  Here is** a text."):
        assert broken_rule(text) is not None


def test_words_in_the_middle_of_a_text_are_as_good_as_any() -> None:
    assert broken_rule("He smiled. Sure! Here is a text, he said, and gave her the letter.\nThen he left.") is None


def test_an_answer_may_well_agree_to_what_it_was_asked_for() -> None:
    instruction, answer = "Tell me about trains.", "Sure! Here is a text about trains: they run on rails."
    assert Filters([]).reject(f"{instruction}\n{answer}", prompt=instruction) is None
    assert Filters([]).reject(f"{answer}\n{answer}", prompt=answer) == "about itself"


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        "[words]\nanimal = '(?:cat|dog)'\n"
        "[[rule]]\nname = 'meows'\nat = 'start'\npattern = 'my {animal} says'\nexamples = ['My dog says woof.']\n"
    )
    (rule,) = read_rules(tmp_path / "rules.toml")
    assert rule.holds("my cat says hello")
    assert not rule.holds("so my cat says hello")
