from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.caching.asked import Asked, asked_of
from gateway.caching.views import Views
from policies.cache_rules import Bypass, CacheRules
from policies.route_rules import Needs, Requirements
from tests.gateway.cached_calls import ANN, BOB, SEMANTIC, CacheGround


def asked(ground: CacheGround, question: str = "How do I log in?", rules: CacheRules = SEMANTIC) -> Asked:
    call = ground.call(question)
    found = asked_of(call, ground.route(), rules, Views())
    assert isinstance(found, Asked)
    found.look_closer()
    return found


async def test_spacing_of_the_json_is_nothing_and_words_are_something() -> None:
    ground = CacheGround()
    one, same, other = asked(ground), asked(ground), asked(ground, "How do I log out?")
    assert (one.exact, one.near, one.scope) == (same.exact, same.near, same.scope)
    assert one.exact != other.exact
    assert one.near != other.near
    assert one.scope == other.scope
    assert len({one.exact, one.near, one.scope}) == 3


async def test_owner_route_and_what_is_required_are_in_every_digest() -> None:
    ground = CacheGround()
    calls = [ground.call(), ground.call(principal=BOB), ground.call(), ground.call(), ground.call()]
    calls[2].needs = Needs(requires=Requirements(frozenset({"eu"})))
    calls[3].met = frozenset({"canary"})
    routes = [ground.route()] * 4 + [replace(ground.route(), name="other")]
    found = [asked_of(call, route, SEMANTIC, Views()) for call, route in zip(calls, routes, strict=True)]
    digests = set()
    for one in found:
        assert isinstance(one, Asked)
        one.look_closer()
        digests |= {one.exact, one.near, one.scope}
    assert len(digests) == 15


async def test_headers_that_upstreams_see_keep_callers_apart_and_others_do_not() -> None:
    ground = CacheGround()
    headers = [(), (("x-mode", "brief"),), (("X-Mode", "long"),), (("openai-beta", "a"),), (("x-other", "a"),)]
    found = [asked_of(ground.call("How?", *sent), ground.route(), SEMANTIC, Views()) for sent in headers]
    exact = [one.exact for one in found if isinstance(one, Asked)]
    assert len(set(exact)) == 4
    assert exact[0] == exact[4]


async def test_what_callers_write_at_length_is_not_remembered() -> None:
    ground = CacheGround()
    for number in range(3):
        asked = asked_of(ground.call("How?", ("x-mode", f"{number}" * 50_000)), ground.route(), SEMANTIC, Views())
        assert isinstance(asked, Asked)
        assert len(asked.prefix) < 200


async def test_routes_of_one_group_have_one_place() -> None:
    ground = CacheGround()
    rules = replace(SEMANTIC, group="help")
    one, other = (asked_of(ground.call(), replace(ground.route(), name=name), rules, Views()) for name in ("a", "b"))
    assert isinstance(one, Asked)
    assert isinstance(other, Asked)
    assert one.exact == other.exact
    alone = asked_of(ground.call(), replace(ground.route(), name="help"), SEMANTIC, Views())
    assert isinstance(alone, Asked)
    assert alone.exact != one.exact


@pytest.mark.parametrize(
    ("question", "rules", "is_near", "is_semantic", "closed"),
    [
        ("How do I log in?", SEMANTIC, True, True, None),
        ("How do I log in?", CacheRules(), True, False, None),
        ("How do I log in?", CacheRules(near=False), False, False, None),
        ("What is the news today?", SEMANTIC, False, False, Bypass.TIME),
        ("", SEMANTIC, False, False, None),
    ],
)
async def test_which_levels_are_open(
    question: str,
    rules: CacheRules,
    is_near: bool,  # noqa: FBT001 - a parameter
    is_semantic: bool,  # noqa: FBT001 - a parameter
    closed: Bypass | None,
) -> None:
    found = asked(CacheGround(), question, rules)
    assert (bool(found.near), found.is_semantic, found.closed) == (is_near, is_semantic, closed)


async def test_an_image_in_place_of_a_question_is_said_to_close_what_is_beyond_the_exact_like() -> None:
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    words = [{"type": "text", "text": "What is this?"}, *image]
    for content in (image, words):
        for rules, closed in ((SEMANTIC, Bypass.MEDIA), (CacheRules(near=False), None)):
            found = asked(CacheGround(), content, rules)  # type: ignore[arg-type]
            assert (found.closed, found.near, found.is_semantic) == (closed, b"", False)


async def test_what_is_alike_has_one_shape() -> None:
    ground = CacheGround()
    calls = [
        ground.call(),
        ground.call("how do i log in"),
        ground.call(stream=True),
        ground.call(stream=True, stream_options={"include_usage": True}),
    ]
    found = []
    for call in calls:
        one = asked_of(call, ground.route(), SEMANTIC, Views())
        assert isinstance(one, Asked)
        one.look_closer()
        found.append(one.alike(call))
    assert found[0] == found[1]
    assert len(set(found)) == 3


async def test_a_call_of_nobody_or_of_who_may_not_is_left_alone() -> None:
    ground = CacheGround()
    call = ground.call(principal=replace(ANN, uses_cache=False))
    assert asked_of(call, ground.route(), SEMANTIC, Views()) is Bypass.OFF
    call.principal = None
    assert asked_of(call, ground.route(), SEMANTIC, Views()) is Bypass.OFF


async def test_a_request_too_large_to_look_at_is_left_alone() -> None:
    ground = CacheGround()
    call = ground.call("x" * (1 << 20))
    assert asked_of(call, ground.route(), SEMANTIC, Views()) is Bypass.LONG
