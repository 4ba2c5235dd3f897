from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.denials import denials_in


@pytest.mark.parametrize(
    ("text", "times", "stems"),
    [
        ("which plans don't include calls", 1, {"includ"}),
        ("do not cancel my subscription", 1, {"cancel"}),
        ("don't cancel it", 1, {"cancel"}),
        ("members and non members", 1, {"member"}),
        ("it is not unlikely that it never works", 2, {"unlik", "work"}),
        ("can i pay without a card", 1, {"card"}),
        ("should i stop watering them", 1, {"water"}),
        ("ist das nicht erlaubt", 1, {"erlaubt"}),
        ("isn't it a fine day", 0, set()),
        ("don't you think that it works", 0, set()),
        ("it works well doesn't it", 0, set()),
        ("does it work or not", 0, set()),
        ("should it be free why or why not", 0, set()),
        ("i am not sure how it works", 0, set()),
        ("how does it work", 0, set()),
        ("", 0, set()),
    ],
)
def test_what_is_denied(text: str, times: int, stems: set[str]) -> None:
    denials = denials_in(text.split())
    assert denials.times == times
    assert denials.stems == frozenset(stems)


@given(st.lists(st.sampled_from(["not", "don't", "or", "why", "it", "never", "works", "no", ""])))
def test_no_more_is_denied_than_words_deny(words: list[str]) -> None:
    denials = denials_in(words)
    assert len(denials.stems) <= denials.times <= len(words)
