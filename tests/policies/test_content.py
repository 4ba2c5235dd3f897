from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.content import ContentRules, bound_of, least
from policies.route_rules import Content
from policies.vocabulary import Principal

LEVELS = st.sampled_from(Content)
RANKS = list(Content)


def who(content: Content | None) -> Principal:
    return Principal("k", "n", content=content)


@given(LEVELS, LEVELS, st.none() | LEVELS)
def test_nobody_gets_more_than_the_operator_allows(default: Content, most: Content, asked: Content | None) -> None:
    level = ContentRules(default, most).level(who(asked))
    assert RANKS.index(level) <= RANKS.index(most)
    assert RANKS.index(level) <= RANKS.index(default if asked is None else asked)


def test_nothing_is_shown_unless_somebody_says_so() -> None:
    assert ContentRules().is_off
    assert ContentRules().level(who(Content.FULL)) is Content.NONE
    assert ContentRules(most=Content.FULL).level(who(None)) is Content.NONE
    assert ContentRules(Content.FULL, Content.FULL).level(None) is Content.NONE, "nobody knows whose it is"
    assert ContentRules(Content.NONE, Content.REDACTED).level(who(Content.FULL)) is Content.REDACTED


def test_the_most_private_word_counts() -> None:
    assert least(None, Content.FULL, Content.HASH) is Content.HASH
    assert least(None, None) is None


@pytest.mark.parametrize(
    ("word", "bound"),
    [
        ("", None),
        (" ", None),
        ("NO_CONTENT", Content.NONE),
        ("false", Content.NONE),
        ("EVENT_ONLY", Content.NONE),
        ("SPAN_ONLY", Content.FULL),
        ("span_and_event", Content.FULL),
        ("True", Content.FULL),
    ],
)
def test_the_environments_switch_is_read(word: str, bound: Content | None) -> None:
    assert bound_of(word) is bound


def test_a_slip_in_the_environment_is_no_permission() -> None:
    with pytest.raises(ValueError, match="SPAN_ONLY"):
        bound_of("SPANONLY")
