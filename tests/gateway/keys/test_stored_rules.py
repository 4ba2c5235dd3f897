"""What may be told of a stored key's calls: what it says itself, within what its owners and the gateway let."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.call import no_peer
from gateway.keys.stored_rules import StoredRules
from gateway.keys.view import KeyView
from gateway.keys.virtual_keys import KeyRing, Refusal, generate
from gateway.state.keys.records import ManagedOwners
from policies.content import ContentRules, least
from policies.route_rules import NO_REQUIREMENTS, Content
from policies.vocabulary import Principal
from tests.gateway.key_sets import NOW_S, a_store, a_stored, a_view, changes

SECRET = generate("live", random.Random(1))


def told(view: KeyView) -> tuple[Content | None, bool, bool]:
    found = view.identify(SECRET, NOW_S, no_peer)
    assert isinstance(found, Principal)
    return found.content, found.trusts_trace, found.cost_in_body


def test_what_owners_say_of_traces_binds_stored_keys_too() -> None:
    stored = a_store(a_stored(SECRET, org="o", team="t"))
    hashed = {("o", "t"): Content.HASH}
    rules = StoredRules({}, lambda *_: NO_REQUIREMENTS, lambda *who: hashed.get(who), lambda *_: True)
    view = KeyView(KeyRing((), b"p" * 32), stored, rules, ManagedOwners(), is_open=True)
    assert [told(view), told(a_view(stored))] == [(Content.HASH, True, False), (None, False, False)]


@pytest.mark.parametrize("routes", [None, ("smart",)])
def test_a_stored_key_says_what_may_be_told_of_its_calls(routes: tuple[str, ...] | None) -> None:
    usual = a_view(a_store(a_stored(SECRET, routes=routes)))
    assert told(usual) == (None, False, False)
    said = a_stored(SECRET, routes=routes, content="hash", trust_trace_context=True, cost_in_body=True)
    assert told(a_view(a_store(said))) == (Content.HASH, True, True)


@pytest.mark.parametrize("own", [None, *Content])
@pytest.mark.parametrize("owners", [None, *Content])
def test_a_stored_key_gets_no_more_content_than_its_owners_and_the_gateway_let(
    own: Content | None, owners: Content | None
) -> None:
    stored = a_store(a_stored(SECRET, team="t", content=None if own is None else own.value))
    rules = StoredRules({}, lambda *_: NO_REQUIREMENTS, lambda *_: owners)
    view = KeyView(KeyRing((), b"p" * 32), stored, rules, ManagedOwners(), is_open=True)
    assert told(view)[0] is least(own, owners)
    found = view.identify(SECRET, NOW_S, no_peer)
    assert isinstance(found, Principal)
    for most in Content:
        level = ContentRules(default=Content.FULL, most=most).level(found)
        assert least(level, own, owners, most) is level


def test_a_change_of_what_is_told_is_in_force_with_the_change() -> None:
    stored = a_store(a_stored(SECRET, team="t", content="full", trust_trace_context=True, cost_in_body=True))
    view = a_view(stored)
    assert told(view) == (Content.FULL, True, True)
    stored.take(changes(a_stored(SECRET, team="t", content="none"), revision=2))
    assert told(view) == (Content.NONE, False, False)


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"content": "some"}, "'some' is not a valid Content"),
        ({"priority": "some"}, "nobody knows the priority 'some'"),
    ],
)
def test_a_key_with_a_word_that_nobody_knows_is_refused(
    terms: dict[str, Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not shown more than somebody meant, nor anything else than was said."""
    view = a_view(a_store(a_stored(SECRET, **terms)))
    assert view.identify(SECRET, NOW_S, no_peer) is Refusal.UNKNOWN
    assert problem in caplog.text
