"""Pieces add up, and none begins inside of what a reader sees as one character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cache_pieces import groups, may_cut, pieces

LETTERS = st.sampled_from(
    [*"ab \r\n", "é", "e\u0301", "👍🏽", "👩\u200d👩\u200d👧", "🇩🇪", "한", "\u1112\u1161\u11ab", "नि"]
)


@given(st.text(), st.integers(1, 30))
def test_pieces_add_up_and_are_about_as_long_as_asked(text: str, size: int) -> None:
    cut = list(pieces(text, size))

    assert "".join(cut) == text
    assert all(len(piece) >= size for piece in cut[:-1])


@given(st.lists(LETTERS, max_size=20), st.integers(1, 5))
def test_no_character_is_cut_in_two(letters: list[str], size: int) -> None:
    # What a joiner or a mark would tie to its neighbour is drawn in one piece; CR and LF meet by chance.
    text = "".join(letters)
    borders, at = {0, len(text)}, 0
    for letter in letters:
        at += len(letter)
        borders.add(at)
    place = 0
    for piece in pieces(text, size):
        place += len(piece)
        assert place in borders
        assert text[place - 1 : place + 1] != "\r\n"


@pytest.mark.parametrize(
    ("text", "at", "cuts"),
    [
        ("ab", 1, True),
        ("a\u0301", 1, False),
        ("🇩🇪🇫🇷", 1, False),
        ("🇩🇪🇫🇷", 2, True),
        ("👍🏽", 1, False),
        ("a\u200db", 1, False),
        ("\r\n", 1, False),
        ("\n\r", 1, True),
        ("❤\ufe0f", 1, False),
        ("ab", 2, True),
    ],
)
def test_where_a_text_may_be_cut(text: str, at: int, cuts: bool) -> None:  # noqa: FBT001 - a column of the table
    assert may_cut(text, at) is cuts


@given(st.lists(st.text(max_size=6), min_size=1, max_size=12), st.integers(1, 10))
def test_groups_of_tokens_follow_each_other_to_the_end(tokens: list[str], size: int) -> None:
    found = list(groups(tokens, size))

    assert [first for first, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == len(tokens)


def test_a_character_in_two_tokens_is_told_at_once() -> None:
    assert list(groups(["ab", "e", "\u0301c", "d"], 2)) == [(0, 1), (1, 3), (3, 4)]


def test_marks_without_end_take_no_longer_than_their_text() -> None:
    assert list(pieces("a" + "\u0301" * 100_000, 5)) == ["a" + "\u0301" * 100_000]
    assert len(list(pieces("🇩" * 10_000, 24))) == 417
