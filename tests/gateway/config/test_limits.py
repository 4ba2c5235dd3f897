from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.limits import Identity, LimitSettings, OwnLimits, limits_for_all, limits_of_owner
from policies.vocabulary import Limit, LimitScope, Period, Predicate, Resource, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config


def always(_: Subject) -> bool:
    return True


def compiled(when: str) -> Predicate:
    assert when == "a when"
    return always


def of_all(**entry: object) -> list[Limit]:
    return list(limits_for_all([LimitSettings.model_validate(entry)], compiled))


def test_an_entry_is_a_limit_for_each_resource() -> None:
    assert of_all(per="key", requests="60/min", tokens="1M/day", concurrent=8, cost="$5/h", when="a when") == [
        Limit("key.requests.min.19f24548", LimitScope.KEY, Resource.REQUESTS, 60, 60.0, always),
        Limit("key.tokens.day.19f24548", LimitScope.KEY, Resource.TOKENS, 10**6, Period.DAY, always),
        Limit("key.concurrent.19f24548", LimitScope.KEY, Resource.CONCURRENT, 8, None, always),
        Limit("key.cost.h.19f24548", LimitScope.KEY, Resource.COST, 5 * 10**9, 3600.0, always),
    ]


def test_an_owners_limit_binds_nobody_else() -> None:
    entry = OwnLimits.model_validate({"input_tokens": "5/s", "output_tokens": "6/s"})
    assert list(limits_of_owner([entry], LimitScope.TEAM, "free", compiled)) == [
        Limit("own.team.input_tokens.s", LimitScope.TEAM, Resource.INPUT_TOKENS, 5, 1.0, None, "free"),
        Limit("own.team.output_tokens.s", LimitScope.TEAM, Resource.OUTPUT_TOKENS, 6, 1.0, None, "free"),
    ]


def test_usage_outlives_an_edit_of_the_amount() -> None:
    (before,), (after,) = (of_all(per="team", cost=cost) for cost in ("20 USD/month", "$50/month"))
    assert (before.id, before.amount) != (after.id, after.amount)
    assert before.id == after.id


def test_a_named_rate_keeps_its_usage_whatever_its_window() -> None:
    ids = [of_all(per="key", name="burst", tokens=rate)[0].id for rate in ("5/s", "300/min", "9/day", "9/month")]
    assert ids == ["burst.tokens", "burst.tokens", "burst.tokens.day", "burst.tokens.month"]


IDENTITIES = st.tuples(
    st.builds(
        Identity,
        st.sampled_from([*LimitScope, *(f"own.{scope}" for scope in LimitScope)]),
        st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", fullmatch=True),
        st.none() | st.text(max_size=50),
    ),
    st.sampled_from(Resource),
    st.none() | st.sampled_from(Period) | st.integers(1, 744).map(lambda hours: hours * 3600.0),
)


@given(IDENTITIES)
def test_ids_are_short_and_hold_nothing_that_parts_names(
    identity: tuple[Identity, Resource, float | Period | None],
) -> None:
    told = identity[0].limit_id(*identity[1:])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", told)


@given(IDENTITIES, IDENTITIES)
def test_unnamed_limits_that_differ_have_different_ids(
    one: tuple[Identity, Resource, float | Period | None], other: tuple[Identity, Resource, float | Period | None]
) -> None:
    one, other = (one[0]._replace(name=None), *one[1:]), (other[0]._replace(name=None), *other[1:])
    assert (one == other) == (one[0].limit_id(*one[1:]) == other[0].limit_id(*other[1:]))


def test_a_single_entry_needs_no_list(made: Callable[..., Config]) -> None:
    config = made(orgs="{a: {limits: {requests: 1/s}}, b: {limits: [{requests: 1/s}]}}")
    assert config.orgs["a"].limits == config.orgs["b"].limits


NOTHING = "limits nothing: give one or more of requests, tokens, input_tokens, output_tokens, concurrent, cost"
SCOPES = "must be one of 'key', 'user', 'team', 'org', 'route', 'deployment' or 'provider' (did you mean 'team'?)"
MONEY = "counts requests or tokens, not money; a limit on money is cost: 20 USD/month"
AT_ONCE = "must be a whole number such as 8; calls at once have no window"
WORD = "is a word that the ids of unnamed limits begin with; choose another"
NAME = "must be 1 to 40 letters, digits, _ and - and begin with a letter or digit"
WINDOW = "has an unknown window: s, min or h with a number if need be, or day, week, month (did you mean 's'?)"


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ("{per: key, requests: 1/s}", "limits: must be a list"),
        ("[5]", "limits[0]: must be a mapping"),
        ("[{per: key}]", f"limits[0]: {NOTHING}"),
        ("[{requests: 1/s}]", "limits[0].per: is missing"),
        ("[{per: tem, requests: 1/s}]", f"limits[0].per: {SCOPES}"),
        ("[{per: key, tokns: 1/s, cost: $1/h}]", "limits[0].tokns: unknown key 'tokns' (did you mean 'tokens'?)"),
        ("[{per: key, tokens: 5 USD/s}]", f"limits[0].tokens: {MONEY}"),
        ("[{per: key, concurrent: 2/s}]", f"limits[0].concurrent: {AT_ONCE}"),
        ("[{per: key, name: key, requests: 1/s}]", f"limits[0].name: {WORD}"),
        ("[{per: key, name: 'a|b', requests: 1/s}]", f"limits[0].name: {NAME}"),
        ("[{per: key, when: 5, requests: 1/s}]", "limits[0].when: must be text; put it in quotes"),
    ],
)
def test_problems_of_limits(limits: str, found: str, problems: Callable[..., list[str]]) -> None:
    assert problems(limits=limits) == [f"4: {found}"]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ("{tokns: 1/s, cost: $1/h}", "orgs.a.limits.tokns: unknown key 'tokns' (did you mean 'tokens'?)"),
        ("{requests: 1/sec}", f"orgs.a.limits.requests: {WINDOW}"),
        ("{}", f"orgs.a.limits: {NOTHING}"),
        ("[{cost: $1/h}, {tokens: 1}]", "orgs.a.limits[1].tokens: has no window; write 60/min"),
        ("60/min", "orgs.a.limits: must be a list"),
    ],
)
def test_an_owners_limits_are_placed_with_or_without_a_list(
    limits: str, found: str, problems: Callable[..., list[str]]
) -> None:
    assert problems(orgs=f"{{a: {{limits: {limits}}}}}") == [f"4: {found}"]
