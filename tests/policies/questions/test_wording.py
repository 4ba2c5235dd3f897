# ruff: noqa: RUF001 - the characters that look like others are the matter here

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.signs import compare
from policies.questions.wording import CHARS_MAX, plain_form

PIECES = st.sampled_from([
    "Hi", "hello", "hey there", ",", ".", "!", "?", "??", "Please", "please", "pls", "could you tell me", "Can you",
    "I would like to know", "do you know", "um", "thanks", "thank you very much", ", thanks", "what", "How", "how",
    "I", "US", "us", "Polish", "polish", "is", "Isn't", "isn't", "don't", "Don't", "not", "5", "5!", "1,000", "x²",
    "x2", "C#", "C++", "`a b`", "a == b", "/etc/Hosts", "--Force", "ABC-12", "a@B.example", "from Paris to Rome",
    "The", "the", "IT", "it", "\n", "\t", "“quoted”", "–", "-", "May", "may", "may I ask", "April", "Ü", "的", "'",
    "(", ")", "1.", "e.g.", "Tell me", "tell me", "which", "if", "or not", "good morning", "7pm", "$5", "ty",
    "cheers", "A", "s", "?!", "...",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=9).map(" ".join) | st.text(max_size=40)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hi, could you please tell me how I reset my PIN?", "how i reset my PIN"),
        ("Hi there how do I do it??", "how do i do it"),
        ("Please reset my password, thanks!", "reset my password"),
        ("can you reset it please", "can you reset it"),
        ("um how do i  check ", "how do i check"),
        ("I would like to know what the fee is.", "what the fee is"),
        ("  What’s   up?  ", "what's up"),
        ("Do you know if it is open?", "if it is open"),
        ("What is 5!", "what is 5!"),
        ("Is C++ fast?", "is C++ fast"),
        ("Is it in the US?", "is it in the US"),
        ("Polish shoes", "Polish shoes"),
        ("hello world in python", "hello world in python"),
        ("How do you spell please?", "how do you spell please"),
        ("Can you tell me a joke", "can you tell me a joke"),
        ("Thanks!", "thanks"),
        ("", ""),
        ("?", "?"),
        ("   ", "   "),
    ],
)
def test_what_is_left_of_a_question(question: str, expected: str) -> None:
    assert plain_form(question) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x²", "x2"), ("US or them", "us or them"), ("Polish it", "polish it"), ("What is 5!", "What is 5"),
        ("`A b`", "`a b`"), ("print( x)", "print(x)"), ("What is C#?", "What is C?"), ("What is it?", "What is IT?"),
        ("Who is it?", "WHO is it?"), ("1.5", "15"), ("5-3", "53"), ("run a\n    b", "run a b"), ("it's", "its"),
    ],
)  # fmt: skip
def test_what_may_mean_something_else_stays_apart(one: str, other: str) -> None:
    assert plain_form(one) != plain_form(other)


@given(TEXTS)
def test_the_plain_form_of_a_plain_form_is_itself(question: str) -> None:
    plain = plain_form(question)
    assert plain_form(plain) == plain
    assert bool(plain) == bool(question)


@given(TEXTS)
def test_a_question_and_its_plain_form_have_no_veto(question: str) -> None:
    assert compare(question, plain_form(question), checks_entities=True).veto is None


@given(
    TEXTS,
    st.sampled_from(["", "Hi, ", "please ", "Could you tell me ", "um ", "hello there! "]),
    st.sampled_from(["", "?", "!", ".", ", please", " please", ", thanks!", "  ", "? Thank you."]),
)
def test_questions_of_one_plain_form_have_no_veto(question: str, before: str, behind: str) -> None:
    mannered = f"{before}{question}{behind}"
    if plain_form(mannered) == plain_form(question):
        assert compare(mannered, question).veto is None


@pytest.mark.parametrize(
    "piece", ["hi, ", "please ", "um ", "? ", "thanks, ", ", thanks ", "a ", "A", "can you ", "\n"]
)
def test_no_text_takes_long(piece: str) -> None:
    for chars in (CHARS_MAX, 1_000_000):
        text = piece * (chars // len(piece))
        started = time.process_time()
        assert plain_form(text)
        assert time.process_time() - started < 1.0


def test_greetings_without_end_cost_no_more_than_their_length() -> None:
    text = "hi, " * (CHARS_MAX // 8) + "please"
    started = time.process_time()
    assert plain_form(text)
    assert time.process_time() - started < 0.08
