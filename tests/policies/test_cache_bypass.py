from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_bypass import EXACT_ONLY, LEFT_ALONE, QUESTION_CHARS_MAX, bypass, closes, closes_for
from policies.cache_rules import Bypass, CacheRules


@dataclass(frozen=True)
class Asking:
    question: str = "How do I reset my password?"
    temperature: float | None = None
    has_tool_calls: bool = False
    has_media: bool = False
    has_links: bool = False
    is_elsewhere: bool = False


RULES = CacheRules(temperature_max=0.2)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asking(), None),
        (Asking(temperature=0.0), None),
        (Asking(temperature=0.2), None),
        (Asking(temperature=0.21), Bypass.TEMPERATURE),
        (Asking(has_tool_calls=True), Bypass.TOOL_CALLS),
        (Asking(has_links=True, has_media=True), Bypass.MEDIA),
        (Asking(has_media=True), None),
        (Asking(is_elsewhere=True), Bypass.ELSEWHERE),
    ],
)
def test_what_is_left_alone(asked: Asking, expected: Bypass | None) -> None:
    assert bypass(asked, RULES) == expected


def test_each_rule_says_why() -> None:
    reasons = [(rule.reason, rule.why) for rule in LEFT_ALONE] + [(rule.reason, rule.why) for rule in EXACT_ONLY]
    assert all(len(why) > 20 for _, why in reasons)
    assert len(dict(reasons)) == len(reasons)


VERBATIM = [
    "Translate into French: hello",
    "Complete: roses are red,",
    "print 'a  b'",
    'Is "a  b" one word?',
    "How many words does this sentence have?",
    "hello, is this a greeting?",
    "How many letters are in: hey",
    "Korrigiere diesen Satz: das Haus",
]
PERSONAL = [
    "Where is my order 48213?",
    "what about invoice #2024-7781",
    "Is ticket ABC-1234 closed?",
    "Write to ann@x.example",
    "Call me on +44 20 7946 0958",
    "My name is Ann, what can I do?",
    "I am Tariq and I moved house",
    "What is my balance?",
    "Who am I?",
    "Wo ist meine Bestellung 48213?",
    "Ich heiße Anna",
    "Je m'appelle Anne",
    "mi pedido 48213 no llega",
    "Is account number 12345678 mine?",
    "Show me my appointments",
    "my card is 4111 1111 1111 1111",
]
TIMELY = [
    "What's the weather in Paris?",
    "Who won yesterday?",
    "What is the latest version?",
    "What's on today?",
    "What is the current price of gold?",
    "Are you open this week?",
    "Any news?",
    "What time is it?",
    "stock price of Acme",
    "Who is the president as of now?",
    "Wie ist das Wetter?",
    "¿Qué pasa hoy?",
    "Quelle est la météo ?",
    "che succede oggi",
    "o que acontece hoje",
    "wat is het nieuws",
    "What should I buy right now?",
]
NEITHER = [
    "How do I cancel my order?",
    "How do I open a current account?",
    "How does my card work?",
    "I am Indian, can I apply?",
    "I'm German, do I need a visa?",
    "What happened in 2016?",
    "What is the time complexity of this?",
    "Is order 66 a film?",
    "How do I update my address?",
    "What are exchange rates?",
    "What is a ticket?",
    "How does an electric current flow?",
    "What is the best phone under 15,000?",
    "Is it now or never?",
    "How do I order 12 books?",
]


@pytest.mark.parametrize("question", PERSONAL)
def test_personal_wording(question: str) -> None:
    assert closes(question) == Bypass.PERSONAL


@pytest.mark.parametrize("question", TIMELY)
def test_wording_that_depends_on_the_time(question: str) -> None:
    assert closes(question) == Bypass.TIME


@pytest.mark.parametrize("question", NEITHER)
def test_wording_for_all_levels(question: str) -> None:
    assert closes(question) is None


@pytest.mark.parametrize("question", VERBATIM)
def test_what_is_about_its_own_text_has_no_other_wording(question: str) -> None:
    assert closes(question) is Bypass.VERBATIM


def test_long_questions_are_documents() -> None:
    assert closes("word " * QUESTION_CHARS_MAX) == Bypass.LONG


def test_media_are_a_part_of_the_question() -> None:
    assert closes_for(Asking(has_media=True)) == Bypass.MEDIA
    assert closes_for(Asking()) is None
    assert closes_for(replace(Asking(), question="What's on today?")) == Bypass.TIME


@given(st.text(max_size=60), st.sampled_from([*PERSONAL, *TIMELY]))
def test_words_around_it_open_nothing(text: str, question: str) -> None:
    assert closes(f"{text} . {question}") is not None


@pytest.mark.parametrize("piece", ["1 ", "1-", "a@", "order ", "what is my ", "A1-", "this is ", "I am ", "+", "a."])
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * QUESTION_CHARS_MAX)[:QUESTION_CHARS_MAX]
    started = time.process_time()
    closes(text)
    assert time.process_time() - started < 0.5
