from __future__ import annotations

import pytest

from policies.questions.opposites import DAYS, KINDS, MONTHS, OPPOSITES, PLACES, TIMES


def test_each_line_of_opposites_has_sides_without_words_in_common() -> None:
    for line in OPPOSITES.split("\n"):
        words = line.replace("|", " ").split()
        assert len(set(words)) == len(words), line
        assert not line or all(side.split() for side in line.split("|")), line
        assert not line or "|" in line, line


@pytest.mark.parametrize(("members", "count"), [(DAYS, 7), (MONTHS, 12), (TIMES, 4)], ids=["days", "months", "times"])
def test_lists_are_whole(members: str, count: int) -> None:
    assert len([member for member in members.split("|") if member.split()]) == count


def test_words_are_in_lower_case() -> None:
    for text in (OPPOSITES, DAYS, MONTHS, TIMES, PLACES, KINDS):
        assert text == text.lower()
