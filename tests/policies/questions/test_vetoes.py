from __future__ import annotations

import pytest

from policies.questions.reading import read
from policies.questions.vetoes import Veto, contrast, veto

FORBIDDEN = [
    (Veto.NUMBERS, "How much is the plan for 5 users?", "How much is the plan for 50 users?"),
    (Veto.NUMBERS, "Remind me at 7am", "Remind me at 7pm"),
    (Veto.NUMBERS, "Is it open on the 3rd?", "Is it open on the 5th?"),
    (Veto.NUMBERS, "Is it open on the first?", "Is it open on the second?"),
    (Veto.NUMBERS, "What was built in 1990?", "What was built in 1991?"),
    (Veto.NUMBERS, "What is the limit?", "What is the limit for 500 users?"),
    (Veto.NUMBERS, "Give me two examples", "Give me three examples"),
    (Veto.NUMBERS, "What is x²?", "What is x³?"),
    (Veto.NUMBERS, "Is it 5 degrees?", "Is it -5 degrees?"),
    (Veto.UNITS, "Is it 5 km away?", "Is it 5 miles away?"),
    (Veto.UNITS, "Does it cost $20?", "Does it cost €20?"),
    (Veto.UNITS, "What is his height in inches?", "What is his height in centimetres?"),
    (Veto.UNITS, "Are there weekly plans?", "Are there monthly plans?"),
    (Veto.DATES, "Are you open on Saturday?", "Are you open on Sunday?"),
    (Veto.DATES, "What happened in January?", "What happened in March?"),
    (Veto.DATES, "What was sold last year?", "What was sold this year?"),
    (Veto.DATES, "Is it closed next week?", "Is it closed this week?"),
    (Veto.NEGATION, "Kann ich nicht mit Karte zahlen", "Kann ich mit Karte zahlen"),
    (Veto.NEGATION, "Puedo pagar sin tarjeta", "Puedo pagar con tarjeta"),
    (Veto.NUMBERS, "这个套餐有 5 个用户吗", "这个套餐有 50 个用户吗"),
    (Veto.NEGATION, "可以不取消吗", "可以取消吗"),
    (Veto.ANTONYMS, "Is it legal to do so?", "Is it illegal to do so?"),
    (Veto.ANTONYMS, "What is the min size?", "What is the max size?"),
    (Veto.ANTONYMS, "Can I do it before it opens?", "Can I do it after it opens?"),
    (Veto.NEGATION, "Why can I drive abroad?", "Why can't I drive abroad?"),
    (Veto.IDS, "What is wrong with ABC-123?", "What is wrong with ABC-124?"),
    (Veto.IDS, "Who is a@x.example?", "Who is b@x.example?"),
    (Veto.IDS, "What is on https://x.example/a ?", "What is on https://x.example/b ?"),
    (Veto.IDS, "Is 2.10.3 safe?", "Is 2.10.4 safe?"),
    (Veto.IDS, "Do I need an h1b visa?", "Do I need an f1b visa?"),
    (Veto.CODE, "What does `ls -l` do?", "What does `ls -a` do?"),
    (Veto.CODE, "Is a == b?", "Is a != b?"),
    (Veto.CODE, "What is 2+2?", "What is 2*2?"),
    (Veto.CODE, "What does tar --list do?", "What does tar --delete do?"),
    (Veto.CODE, "What is in /etc/hosts?", "What is in /etc/passwd?"),
    (Veto.NEGATION, "Which plans include calls?", "Which plans don't include calls?"),
    (Veto.NEGATION, "Cancel my subscription", "Do not cancel my subscription"),
    (Veto.NEGATION, "What's the price for members?", "What's the price for non-members?"),
    (Veto.NEGATION, "Can I pay with a card?", "Can I pay without a card?"),
    (Veto.NEGATION, "Should I water it?", "Should I stop watering it?"),
    (Veto.ANTONYMS, "How do I enable dark mode?", "How do I disable dark mode?"),
    (Veto.ANTONYMS, "How do I turn on the light?", "How do I turn the light off?"),
    (Veto.ANTONYMS, "Is the deposit refundable?", "Is the deposit unrefundable?"),
    (Veto.ANTONYMS, "How is hypertension treated?", "How is hypotension treated?"),
    (Veto.ANTONYMS, "What is a prepaid phone?", "What is a postpaid phone?"),
    (Veto.ANTONYMS, "Is delivery free under 50?", "Is delivery free over 50?"),
    (Veto.ANTONYMS, "What is the check-in time?", "What is the check-out time?"),
    (Veto.ORDER, "How long is the flight from London to Dubai?", "How long is the flight from Dubai to London?"),
    (Veto.ORDER, "How do I convert a Word file to PDF?", "How do I convert a PDF to a Word file?"),
    (Veto.ORDER, "Is Java better than Go?", "Is Go better than Java?"),
    (Veto.REPLACED, "Do you deliver to Hackney?", "Do you deliver to Hounslow?"),
    (Veto.REPLACED, "is the law of france strict?", "is the law of spain strict?"),
    (Veto.REPLACED, "Is the age limit in the UK high?", "Is the age limit in the US high?"),
    (Veto.REPLACED, "say it in french", "say it in spanish"),
    (Veto.REPLACED, "how do i sort a list in python", "how do i sort a list in java"),
    (Veto.REPLACED, "Is the red light on?", "Is the blue light on?"),
]
ALLOWED = [
    ("How much is 1,000 dollars?", "How much is a thousand dollars?"),
    ("Is it 5 km away?", "Is it 5 kilometres away?"),
    ("Take 50% off", "Take 50 percent off"),
    ("Where do I turn on the light?", "Where do I turn the light on?"),
    ("Isn't it safe?", "Is it safe?"),
    ("It works, doesn't it?", "It works?"),
    ("Is it not locked?", "Is it unlocked?"),
    ("Which is better, tea or milk?", "Which is better, milk or tea?"),
    ("I'm not sure how to pay, can you help?", "How do I pay?"),
    ("What should I do first?", "What should I do?"),
    ("My card, ordered two weeks ago, is not here", "My card is not here"),
    ("Is the table that I ordered red?", "The table: is it blue?"),
    ("Do you deliver to Hackney?", "Is there delivery in the Hounslow area?"),
]


def found(one: str, other: str, *, checks_entities: bool = False) -> Veto | None:
    mine, theirs = read(one), read(other)
    return veto(mine, theirs, contrast(mine, theirs, unlike=0.2), checks_entities=checks_entities)


@pytest.mark.parametrize(("expected", "one", "other"), FORBIDDEN)
def test_what_forbids_a_hit(expected: Veto, one: str, other: str) -> None:
    assert found(one, other) == found(other, one) == expected


@pytest.mark.parametrize(("one", "other"), ALLOWED)
def test_what_does_not(one: str, other: str) -> None:
    assert found(one, other) is found(other, one) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Do you deliver to Hackney?", "Is there delivery in the Hounslow area?", Veto.ENTITIES),
        ("Is the law of France strict?", "how strict is the law in spain", Veto.ENTITIES),
        ("Is the table that I ordered red?", "The table: is it blue?", Veto.ENTITIES),
        ("Do you deliver to Hackney?", "do you deliver to hackney", None),
        ("How is the U.S. doing?", "How is the US doing?", None),
        ("Tell us more about it", "Tell us about it, more", None),
    ],
)
def test_other_names_forbid_where_the_route_says_so(one: str, other: str, expected: Veto | None) -> None:
    assert found(one, other, checks_entities=True) == found(other, one, checks_entities=True) == expected


def test_in_two_long_tales_one_word_says_little() -> None:
    one = read("I paid at the shop twice because the first try never did seem to go through, can you give 30 back?")
    other = read(
        "There is something pending that I never wanted here from a visit to a restaurant this week, please remove it."
    )
    assert veto(one, other, contrast(one, other, unlike=0.4), checks_entities=False) == Veto.NUMBERS
    assert veto(one, other, contrast(one, other, unlike=0.9), checks_entities=False) is None
    assert not contrast(one, read("Why was I charged twice?"), unlike=0.9).is_loose


def test_what_is_too_long_to_be_read_must_be_equal() -> None:
    long = "word " * 10_000
    assert found(long + "a", long + "b") == Veto.LENGTH
