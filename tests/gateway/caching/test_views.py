from __future__ import annotations

import json
from typing import TYPE_CHECKING

from adapters.cache_view import view_of
from adapters.openai_request import parse
from gateway.caching.views import BODY_BYTES_MAX, REMEMBERED_MAX, Views
from policies.cache_rules import Bypass, CacheRules
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

NOTHING: frozenset[str] = frozenset()


def asked(question: str = "How do I log in?", **members: object) -> InferenceRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": question}], **members}
    return parse(Endpoint.CHAT, json.dumps(body).encode())


def test_the_same_bytes_are_looked_at_once() -> None:
    views = Views()
    first, again = views.of(asked(), NOTHING), views.of(asked(), NOTHING)
    assert first is again
    assert first is not None
    assert first.view == view_of(asked())
    assert first.wording == (None, b"how do i log in")


def test_what_differs_in_a_member_or_in_what_is_ignored_is_looked_at_anew() -> None:
    views = Views()
    found = [
        views.of(asked(), NOTHING),
        views.of(asked(user="ann"), NOTHING),
        views.of(asked(user="ann"), frozenset({"user"})),
        views.of(asked("How do I log out?"), NOTHING),
        views.of(parse(Endpoint.RESPONSES, b'{"model":"m","input":"How do I log in?"}'), NOTHING),
    ]
    assert len(views) == 5
    assert all(one is not None for one in found)
    scopes = [one.view.exact for one in found if one is not None]
    assert scopes[0] == scopes[2]
    assert len(set(scopes)) == 4


def test_names_and_values_are_not_taken_for_each_other() -> None:
    views = Views()
    views.of(asked(a="b", c="d"), NOTHING)
    views.of(asked(a="c", b="d"), NOTHING)
    assert len(views) == 2


def test_a_closed_question_has_no_plain_form() -> None:
    seen = Views().of(asked("What is the news today?"), NOTHING)
    assert seen is not None
    assert seen.wording == (Bypass.TIME, b"")


def test_what_is_kept_is_bounded() -> None:
    views = Views()
    assert views.of(asked("x" * BODY_BYTES_MAX), NOTHING) is not None
    assert len(views) == 0
    for number in range(REMEMBERED_MAX + 3):
        views.of(asked(str(number)), NOTHING)
    assert len(views) == REMEMBERED_MAX
    assert views.of(asked("x" * (1 << 20)), NOTHING) is None


def test_what_is_at_hand_for_one_caller_is_not_given_to_another() -> None:
    seen = Views().of(asked(temperature=0.5), NOTHING)
    assert seen is not None
    mine, yours = seen.exact(b"mine"), seen.exact(b"yours")
    assert mine != yours
    assert (seen.exact(b"mine"), seen.exact(b"mine"), seen.exact(b"yours")) == (mine, mine, yours)


def test_each_routes_rules_are_asked() -> None:
    seen = Views().of(asked(temperature=0.5), NOTHING)
    assert seen is not None
    strict, lenient = CacheRules(temperature_max=0.2), CacheRules(temperature_max=1.0)
    found = [seen.left_alone(rules) for rules in (strict, strict, lenient, strict)]
    assert found == [Bypass.TEMPERATURE, Bypass.TEMPERATURE, None, Bypass.TEMPERATURE]
