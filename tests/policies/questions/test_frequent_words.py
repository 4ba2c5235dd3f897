from __future__ import annotations

from policies.questions.frequent_words import COMMON


def test_words_are_plain_and_stand_once() -> None:
    assert all(word.isascii() and word.isalpha() and word.islower() and len(word) > 1 for word in COMMON)
    assert len(set(COMMON)) == len(COMMON) > 3000


def test_the_commonest_come_first() -> None:
    assert COMMON.index("the") < COMMON.index("house") < COMMON.index("penalty")
