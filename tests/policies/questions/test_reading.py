from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.reading import CHARS_MAX, read


def test_a_question_is_read_for_all_that_comparing_needs() -> None:
    reading = read("Why can't I move 1,000 dollars from London to Lisbon in two days?")
    assert reading.amounts == ("1000", "2")
    assert reading.units == {("1000", "usd"), ("2", "day")}
    assert reading.asks == "why"
    assert reading.persons == {"i"}
    assert reading.denials.times == 1
    assert {text for _, text in reading.names} == {"London", "Lisbon"}
    assert ("london", "to", "lisbon") in reading.relations
    assert reading.foreign == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It costs 1,000 dollars", "It costs a thousand dollars"),
        ("It costs $5", "It costs 5 dollars"),
        ("It costs 5£", "It costs £5"),
        ("15% of it", "fifteen percent of it"),
        ("my iPhone7", "my iPhone 7"),
        ("at 7pm", "at 7 pm"),
        ("World War II", "World War 2"),
        ("under Rs. 2000", "under 2000 rupees"),
    ],
)
def test_numbers_are_the_same_however_they_are_written(one: str, other: str) -> None:
    assert read(one).amounts == read(other).amounts
    assert read(one).units == read(other).units


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Who made it?", "who"), ("How many are there?", "how many"), ("How much is it?", "how much"),
        ("What time is it?", "when"), ("What's the way?", "what"), ("Tell me in which town", "what"), ("Do it", ""),
        ("How come it fails?", "why"),
    ],
)  # fmt: skip
def test_what_is_asked_for(text: str, asks: str) -> None:
    assert read(text).asks == asks


@pytest.mark.parametrize("text", ["waiting for 3 days", "3 days ago", "two weeks ago"])
def test_how_long_something_went_on_may_be_left_out(text: str) -> None:
    reading = read(f"My card has not come, I ordered it {text}")
    assert reading.amounts
    assert reading.weak == set(reading.amounts)


def test_code_and_ids_are_kept_as_they_are() -> None:
    reading = read("Does `ls -L` in /usr/Bin list ABC-123 of https://x.example/A, or a == b?")
    assert reading.code == ("/usr/Bin", "==", "ls -L")
    assert reading.ids == {"abc-123", "https://x.example/A"}


@pytest.mark.parametrize(
    "text", ["这张卡怎么取消订阅", "как отменить мою подписку", "wie kündige ich meinen Vertrag fristgerecht"]
)
def test_what_is_not_understood_is_foreign(text: str) -> None:
    assert read(text).foreign == 1.0


def test_scripts_without_spaces_are_read_by_the_letter() -> None:
    one, other = read("这张卡怎么取消"), read("这张卡怎么激活")
    assert 0 < len(one.stems & other.stems) < len(one.stems)


@given(st.text(alphabet="abcXYZ 0159.,'-$%`/_@#!?\nß的²½'\"", max_size=80))
def test_everything_can_be_read(text: str) -> None:
    reading = read(text)
    assert reading == read(text)
    assert reading.stems == set(reading.sequence) == set(reading.weights)


@pytest.mark.parametrize(
    "piece",
    ["a ", "not ", "two ", "billion ", "1 ", "$", "`", "hi, ", "please ", "to b ", "X ", "'", "é", "的", "\n", "?"],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    reading = read(text)
    assert time.process_time() - started < 1.5
    assert len(reading.tail) == len(text) - CHARS_MAX
