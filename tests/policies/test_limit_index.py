from __future__ import annotations

from dataclasses import replace

from policies.limit_index import REMEMBERED_MAX, LimitIndex
from policies.vocabulary import Deployment, Limit, LimitScope, Principal, Resource, Route, Strategy

ROUTE = Route("smart", ("smart", "smart-*"), Strategy.ORDERED, ())
OTHER = replace(ROUTE, name="other")
ADA = Principal("k1", "ada-laptop", team="research", user="ada", org="acme")
NOBODY = Principal("k2", "cron")
GPT = Deployment("gpt-eu", "azure", "openai", "gpt-4o")


def limit(scope: LimitScope, holder: str | None = None) -> Limit:
    return Limit(f"{scope}.requests.min", scope, Resource.REQUESTS, 10, 60.0, None, holder)


EVERY = LimitIndex([limit(scope) for scope in LimitScope])


def names(found: tuple[tuple[Limit, str], ...]) -> list[str]:
    return [f"{limit.id}:{holder}" for limit, holder in found]


def test_a_call_comes_under_the_limits_of_all_who_own_it() -> None:
    assert names(EVERY.of_call(ADA, ROUTE)) == [
        "key.requests.min:ada-laptop",
        "user.requests.min:ada",
        "team.requests.min:research",
        "org.requests.min:acme",
        "route.requests.min:smart",
    ]


def test_a_limit_whose_holder_is_not_there_does_not_apply() -> None:
    assert [limit.scope for limit, _ in EVERY.of_call(NOBODY, ROUTE)] == ["key", "org", "route"]


def test_an_attempt_comes_under_those_of_its_deployment_and_provider() -> None:
    assert names(EVERY.of_deployment(GPT)) == ["deployment.requests.min:gpt-eu", "provider.requests.min:azure"]


def test_a_limit_with_a_holder_binds_nobody_else() -> None:
    index = LimitIndex(
        [
            limit(LimitScope.ORG, "acme"),
            limit(LimitScope.ROUTE, "other"),
            limit(LimitScope.DEPLOYMENT, "gpt-eu"),
            limit(LimitScope.PROVIDER, "openai"),
        ]
    )
    assert names(index.of_call(ADA, ROUTE)) == ["org.requests.min:acme"]
    assert names(index.of_call(NOBODY, OTHER)) == ["route.requests.min:other"]
    assert names(index.of_deployment(GPT)) == ["deployment.requests.min:gpt-eu"]


def test_a_keys_own_limits_come_beside_the_policys() -> None:
    own = Limit("own.key.concurrent", LimitScope.KEY, Resource.CONCURRENT, 2, None)
    limited = replace(ADA, limits=(own,))
    assert names(EVERY.of_call(limited, ROUTE))[-1] == "own.key.concurrent:ada-laptop"
    assert names(LimitIndex().of_call(limited, ROUTE)) == ["own.key.concurrent:ada-laptop"]


def test_answers_are_remembered_until_the_key_changes() -> None:
    index = LimitIndex([limit(LimitScope.TEAM)])
    first = index.of_call(ADA, ROUTE)
    assert index.of_call(ADA, ROUTE) is first
    assert names(index.of_call(replace(ADA, team="sales"), ROUTE)) == ["team.requests.min:sales"]
    assert names(index.of_call(ADA, ROUTE)) == ["team.requests.min:research"]
    assert index.of_deployment(GPT) == ()


def test_what_is_remembered_is_bounded() -> None:
    index = LimitIndex([limit(LimitScope.KEY)])
    for number in range(REMEMBERED_MAX + 5):
        name = f"key-{number}"
        assert names(index.of_call(Principal(name, name), ROUTE)) == [f"key.requests.min:{name}"]
    assert len(index._known) <= REMEMBERED_MAX


def test_it_gives_back_what_it_was_made_of() -> None:
    assert {limit.scope for limit in EVERY.limits} == set(LimitScope)
