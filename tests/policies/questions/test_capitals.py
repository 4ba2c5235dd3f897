from __future__ import annotations

import pytest

from policies.questions.capitals import LOWERED_ANYWHERE, LOWERED_AT_START


@pytest.mark.parametrize("word", ["polish", "us", "it", "who", "may", "will", "apple", "march", "paris", "john"])
def test_words_that_may_be_names_keep_their_capital(word: str) -> None:
    assert word not in LOWERED_ANYWHERE | LOWERED_AT_START


@pytest.mark.parametrize("word", ["how", "the", "please", "do"])
def test_words_of_grammar_lose_it(word: str) -> None:
    assert word in LOWERED_ANYWHERE & LOWERED_AT_START
