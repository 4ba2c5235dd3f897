from __future__ import annotations

import pytest

from policies.route_rules import (
    AT_FIRST_TOKEN,
    DEFAULT_BREAKER,
    NO_NEEDS,
    NO_REQUIREMENTS,
    Capability,
    Needs,
    Priority,
    Requirements,
)


def test_whoever_matters_more_is_greater() -> None:
    assert sorted(Priority, reverse=True) == [Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW]


@pytest.mark.parametrize("capability", Capability)
def test_a_capability_is_its_word_in_the_policy_file(capability: Capability) -> None:
    """Sets of words and of capabilities can be compared."""
    assert {capability.value} == {capability}
    assert Capability(capability.value) is capability


def test_what_is_left_out_requires_nothing() -> None:
    assert Requirements() == NO_REQUIREMENTS == NO_NEEDS.requires
    assert Needs() == NO_NEEDS


def test_by_default_a_route_commits_at_the_first_content() -> None:
    assert (AT_FIRST_TOKEN.tokens, AT_FIRST_TOKEN.hold_s) == (1, 0.0)


def test_a_cooldown_has_room_to_double() -> None:
    assert DEFAULT_BREAKER.cooldown_s < DEFAULT_BREAKER.cooldown_max_s
