from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.signs import Signs, Veto, compare, compare_readings, read

_WORDS = """
how do i what is the a of to from not don't can my order card 5 five 50% km miles Monday Paris London paris US us
enable disable before after `x` a==b ABC-12 2.10.3 open, closed? Please thanks. first one no without Überraschung 的
x² $5 £5 7pm from better than iPhone7 4k is it isn't
"""
WORDS = st.sampled_from(_WORDS.split())
QUESTIONS = st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40)


def signs(one: str, other: str) -> dict[str, float]:
    """The signs that are there."""
    return {name: value for name, value in compare(one, other)._asdict().items() if value}


@given(QUESTIONS)
def test_a_question_has_no_sign_against_itself(question: str) -> None:
    assert compare(question, question) == Signs()
    reading = read(question)
    again = read(question)._replace(text=question + " ")
    assert compare_readings(reading, again, checks_entities=True)._replace(brief=0.0, foreign=0.0) == Signs()


@given(QUESTIONS, QUESTIONS, st.booleans())
def test_comparing_is_symmetrical(one: str, other: str, checks_entities: bool) -> None:  # noqa: FBT001 - drawn
    forth = compare(one, other, checks_entities=checks_entities)
    back = compare(other, one, checks_entities=checks_entities)
    assert forth.veto == back.veto
    assert forth[1:] == pytest.approx(back[1:])


@given(QUESTIONS, QUESTIONS)
def test_signs_are_numbers_from_nought_up(one: str, other: str) -> None:
    found = compare(one, other)
    assert all(isinstance(value, float) and value >= 0.0 for value in found[1:])
    assert (
        max(found.unlike, found.order, found.length, found.question, found.negation, found.slot, found.foreign) <= 1.0
    )


@given(QUESTIONS, QUESTIONS)
def test_the_switch_for_entities_only_adds_that_veto(one: str, other: str) -> None:
    without, with_it = compare(one, other), compare(one, other, checks_entities=True)
    assert with_it.veto in {without.veto, Veto.ENTITIES}
    assert without.veto is None or with_it.veto == without.veto


@given(QUESTIONS, st.integers(2, 10**6), st.integers(2, 10**6))
def test_another_number_is_always_a_veto(question: str, one: int, other: int) -> None:
    mine, theirs = f"the {one} things: {question}", f"the {other} things: {question}"
    assert (compare(mine, theirs).veto is None) == (one == other)


def test_a_word_in_the_place_of_another() -> None:
    found = compare("How do I switch supplier as an owner?", "How do I switch supplier as a lodger?")
    assert found.veto is None
    assert found.slot > 0.5
    assert found.swapped > 0.5
    assert found.extra < 0.5


def test_what_one_asks_beside_what_both_ask() -> None:
    found = compare("How do I cancel my booking?", "How do I cancel my booking by telephone?")
    assert found.swapped == 0.0
    assert found.extra > 0.0
    assert found.slot == 0.0


@pytest.mark.parametrize(
    ("one", "other", "sign"),
    [
        ("Who wrote the novel?", "When was the novel written?", "question"),
        ("Does my dog need it?", "Does his dog need it?", "person"),
        ("the man bites the dog twice", "the dog bites the man twice", "order"),
        ("Is the table red?", "Tell me, is it a blue table?", "siblings"),
        ("I was waiting for 3 days already, is it open?", "is it open?", "amounts"),
        ("Why does it not work?", "Why does the machine fail to start?", "negation"),
        ("Ask Hounslow about it", "Ask about it", "names"),
        ("这张卡怎么取消订阅", "这张卡怎么激活订阅", "foreign"),
    ],
)
def test_each_sign_has_its_occasion(one: str, other: str, sign: str) -> None:
    assert sign in signs(one, other)


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ("How can I reset the password?", "How can I choose a good password for it?"),
        ("How are passwords reset?", "How are rooms cleaned?"),
    ],
)
def test_more_other_words_are_more_unlike(near: str, far: str) -> None:
    asked = "How do I reset my password?"
    assert compare(asked, near).unlike < compare(asked, far).unlike
