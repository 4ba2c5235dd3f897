from __future__ import annotations

import pytest

from policies.questions.antonyms import PARTICLES, SIDES, Contest


def contests(one: str, other: str) -> set[Contest]:
    return {
        mine.contest
        for mine in SIDES.get(one, frozenset())
        for theirs in SIDES.get(other, frozenset())
        if mine.number == theirs.number and mine.side != theirs.side
    }


@pytest.mark.parametrize(
    "pair",
    [
        "enable disable",
        "increase decrease",
        "buy sell",
        "before after",
        "import export",
        "encrypt decrypt",
        "min max",
        "minimum maximum",
        "first last",
        "legal illegal",
        "more less",
        "better worse",
        "older younger",
        "upload download",
        "lend borrow",
        "benefit drawback",
        "north south",
        "mandatory optional",
    ],
)
def test_opposites_take_two_sides(pair: str) -> None:
    one, other = pair.split()
    assert contests(one, other) == {Contest.OPPOSITES}


def test_synonyms_take_one_side() -> None:
    assert contests("disable", "deactivate") == contests("max", "highest") == contests("before", "within") == set()


@pytest.mark.parametrize(
    ("one", "other", "contest"),
    [
        ("monday", "tuesday", Contest.DATES),
        ("montag", "mercredi", Contest.DATES),
        ("january", "août", Contest.DATES),
        ("miles", "kilometers", Contest.UNITS),
        ("daily", "weekly", Contest.UNITS),
        ("austria", "australian", Contest.PLACES),
        ("red", "blue", Contest.KINDS),
    ],
)
def test_small_sets_have_a_side_for_each_member(one: str, other: str, contest: Contest) -> None:
    assert contests(one, other) == {contest}


def test_one_name_in_two_languages_is_one_side() -> None:
    assert contests("monday", "montag") == contests("germany", "german") == set()


@pytest.mark.parametrize("word", ["us", "may", "sun", "the", "and", "who", "up", "set", "mon"])
def test_common_words_of_other_meanings_take_no_side(word: str) -> None:
    assert word not in SIDES


def test_no_word_contends_with_itself() -> None:
    for word, sides in SIDES.items():
        assert len({side.number for side in sides}) == len(sides), word


def test_particles_come_in_pairs() -> None:
    assert PARTICLES["on"].number == PARTICLES["off"].number
    assert PARTICLES["on"].side != PARTICLES["off"].side
