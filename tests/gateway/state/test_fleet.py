from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Attempt
from gateway.state.fleet import Fleet
from policies.breaker import Phase
from policies.retry_budget import CREDITS_MAX
from policies.route_rules import NO_NEEDS, Affinity, AffinityBy, HedgeRules
from policies.vocabulary import Deployment, Failure, FailureKind, Route, Strategy, Target

if TYPE_CHECKING:
    from gateway.call import Call

A = Deployment("a", "p", "openai", "m")
B = Deployment("b", "p", "openai", "m")
FIRST = Deployment("c", "q", "openai", "m", credential="first")
SECOND = Deployment("c", "q", "openai", "m", credential="second")
BESIDE = Deployment("d", "q", "openai", "n", credential="first")
DOWN = Failure(FailureKind.CONNECT)
UNAUTHORIZED = Failure(FailureKind.STATUS, status=401)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def end(fleet: Fleet, deployment: Deployment, failure: Failure | None = None, *, forced: bool = False) -> None:
    lease = fleet.lease(deployment, forced=forced)
    if failure is None:
        lease.succeed()
    else:
        lease.fail(failure)
    lease.release()


def failed(fleet: Fleet, deployment: Deployment, times: int) -> None:
    for _ in range(times):
        end(fleet, deployment, DOWN)


def set_aside(fleet: Fleet, *deployments: Deployment) -> set[str]:
    return set(fleet.live(deployments).set_aside)


def test_five_failures_set_a_deployment_aside_and_a_success_brings_it_back() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    failed(fleet, A, 5)
    assert set_aside(fleet, A, B) == {"a"}
    clock.now += 6
    assert not set_aside(fleet, A, B)
    probe = fleet.lease(A)
    assert set_aside(fleet, A, B) == {"a"}, "one probe at a time"
    probe.answer()
    assert fleet.state_of(A).phase is Phase.CLOSED, "the first content settles a probe"
    probe.release()


def test_a_deployment_that_fails_every_other_time_is_set_aside() -> None:
    fleet = Fleet(Clock())
    for _ in range(20):
        end(fleet, A)
        end(fleet, A, DOWN)
    assert set_aside(fleet, A) == {"a"}


def test_many_answers_outweigh_a_few_failures() -> None:
    fleet = Fleet(Clock())
    for _ in range(60):
        for _ in range(9):
            end(fleet, A)
        end(fleet, A, DOWN)
    assert not set_aside(fleet, A)


# credentials


@pytest.mark.parametrize("status", [401, 402])
def test_a_refused_credential_takes_all_its_deployments_with_it_and_no_other(status: int) -> None:
    clock = Clock()
    fleet = Fleet(clock)
    end(fleet, FIRST, Failure(FailureKind.STATUS, status=status))
    assert set_aside(fleet, FIRST, SECOND, BESIDE, A) == {"c@first", "d@first"}
    clock.now += 60
    assert not set_aside(fleet, FIRST, BESIDE)
    probe = fleet.lease(BESIDE)
    assert set_aside(fleet, FIRST, BESIDE) == {"c@first", "d@first"}, "one probe for all of them"
    probe.succeed()
    probe.release()
    assert not set_aside(fleet, FIRST, BESIDE)


def test_an_outage_during_a_credentials_probe_leaves_it_to_the_next() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    end(fleet, FIRST, UNAUTHORIZED)
    clock.now += 60
    end(fleet, FIRST, DOWN)
    assert not set_aside(fleet, FIRST)
    assert fleet.state_of(FIRST).credential.phase is Phase.HALF_OPEN


def test_the_last_credential_is_still_tried_and_comes_back_by_that() -> None:
    fleet = Fleet(Clock())
    end(fleet, FIRST, UNAUTHORIZED)
    end(fleet, FIRST, UNAUTHORIZED, forced=True)
    assert fleet.state_of(FIRST).credential.refused == 2
    end(fleet, FIRST, forced=True)
    assert not set_aside(fleet, FIRST)


def test_what_went_out_with_a_credential_that_was_refused_meanwhile_proves_nothing() -> None:
    fleet = Fleet(Clock())
    before = fleet.lease(FIRST)
    end(fleet, FIRST, UNAUTHORIZED)
    before.succeed()
    before.release()
    assert set_aside(fleet, FIRST) == {"c@first"}


def test_a_reload_forgets_what_it_removed_credentials_too() -> None:
    fleet = Fleet(Clock())
    failed(fleet, A, 1)
    failed(fleet, B, 5)
    end(fleet, FIRST, UNAUTHORIZED)
    fleet.keep_only(frozenset({"a"}), frozenset())
    assert fleet.state_of(A).failures == 1
    assert fleet.state_of(B).failures == 0
    assert not set_aside(fleet, A, B, FIRST, BESIDE)


def test_a_credential_that_another_deployment_keeps_stays_refused() -> None:
    fleet = Fleet(Clock())
    end(fleet, FIRST, UNAUTHORIZED)
    fleet.state_of(BESIDE)
    fleet.keep_only(frozenset({"d@first"}), frozenset())
    assert set_aside(fleet, FIRST, BESIDE) == {"c@first", "d@first"}


def test_what_ends_after_a_reload_removed_it_troubles_nobody(caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(Clock())
    before = [fleet.lease(FIRST) for _ in range(6)]
    fleet.keep_only(frozenset(), frozenset())
    for lease, failure in zip(before, [UNAUTHORIZED, *[DOWN] * 5], strict=True):
        lease.fail(failure)
        lease.release()
    assert not set_aside(fleet, FIRST)
    assert fleet._breakers.all_closed
    assert caplog.records == []


# choosing


def a_call(route: Route, *candidates: Deployment, headers: dict[str, str] | None = None) -> Call:
    upstreams = {deployment.id: SimpleNamespace(line=None) for deployment in candidates}
    call = SimpleNamespace(
        route=route,
        candidates=candidates,
        needs=NO_NEEDS,
        met=frozenset(),
        choice=None,
        principal=None,
        peer=lambda: "10.0.0.1",
        headers=headers or {},
        generation=SimpleNamespace(upstreams=upstreams),
    )
    return cast("Call", call)


def route_of(strategy: Strategy, *targets: Deployment, **more: Any) -> Route:
    return Route("r", ("r",), strategy, tuple(Target(deployment) for deployment in targets), **more)


def leader(fleet: Fleet, call: Call) -> str:
    return fleet.choose(call, 100.0, Random(1)).candidates[0].id


def test_a_route_with_one_candidate_is_chosen_without_a_look_at_anything() -> None:
    fleet = Fleet(Clock())
    call = a_call(route_of(Strategy.FASTEST, A), A)
    call.generation = cast("Any", None)
    assert fleet.choose(call, 100.0, Random(1)).candidates == (A,)


def test_turns_go_on_from_call_to_call_and_over_a_reload() -> None:
    fleet = Fleet(Clock())
    route = Route("r", ("r",), Strategy.WEIGHTED, (Target(A, 2), Target(B, 1)))
    leaders = [leader(fleet, a_call(route, A, B)) for _ in range(4)]
    fleet.keep_only(frozenset({"a", "b"}), frozenset({"r"}))
    leaders += [leader(fleet, a_call(replace(route, retry_attempts=3), A, B)) for _ in range(2)]
    assert sorted(leaders) == ["a"] * 4 + ["b"] * 2


def test_the_credentials_of_a_deployment_take_turns() -> None:
    fleet = Fleet(Clock())
    call = a_call(route_of(Strategy.ORDERED, FIRST, SECOND), FIRST, SECOND)
    assert sorted(leader(fleet, call) for _ in range(4)) == ["c@first"] * 2 + ["c@second"] * 2
    end(fleet, FIRST, UNAUTHORIZED)
    assert fleet.live((FIRST, SECOND)).set_aside.keys() == {"c@first"}


def test_the_least_busy_is_known_by_its_leases() -> None:
    fleet = Fleet(Clock())
    busy = fleet.lease(A)
    call = a_call(route_of(Strategy.LEAST_BUSY, A, B), A, B)
    assert leader(fleet, call) == "b"
    busy.release()
    fleet.lease(B)
    assert leader(fleet, call) == "a"


def test_the_fastest_is_known_by_what_answers_took() -> None:
    fleet = Fleet(Clock())
    for deployment, took_s in ((A, 2.0), (B, 0.1)):
        fleet.lease(deployment).succeed(Attempt(1, deployment, 99.0 - took_s, 99.0, 99.5))
    assert leader(fleet, a_call(route_of(Strategy.FASTEST, A, B), A, B)) == "b"


def test_a_session_stays_where_it_is() -> None:
    fleet = Fleet(Clock())
    route = route_of(Strategy.STICKY, A, B, affinity=Affinity(AffinityBy.HEADER, "x-session"))
    found = {
        session: {leader(fleet, a_call(route, A, B, headers={"x-session": session})) for _ in range(5)}
        for session in "abcdefgh"
    }
    assert all(len(leaders) == 1 for leaders in found.values())
    assert set.union(*found.values()) == {"a", "b"}


def test_a_call_of_a_route_that_hedges_pays_into_its_share() -> None:
    fleet = Fleet(Clock())
    route = route_of(Strategy.ORDERED, A, B, hedge=HedgeRules(share_max=0.5))
    assert not fleet.may_hedge(route)
    for _ in range(2):
        fleet.choose(a_call(route, A, B), 100.0, Random(1))
    assert fleet.may_hedge(route)


# budgets


def test_second_tries_stop_when_the_deployments_budget_is_spent_and_no_others() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    fleet.lease(B)
    spent = 0
    while not fleet.live((A, B), ["b", "a"]).spent:
        end(fleet, A, DOWN)
        fleet.spend_retry(A)
        end(fleet, A, DOWN)
        spent += 1
    assert 10 <= spent <= 13
    assert fleet.live((A, B), ["b", "a"]).spent == {"a"}
    assert (fleet.state_of(A).retries_refused, fleet.state_of(B).retries_refused) == (2, 0)
    clock.now += 1
    assert not fleet.live((A, B), ["b", "a"]).spent


@given(st.lists(st.tuples(st.floats(0.0, 0.5), st.integers(1, 4)), max_size=300))
def test_an_outage_makes_attempts_by_a_fifth_more(calls: list[tuple[float, int]]) -> None:
    """Each call would try as often as it may, all fail, and the attempts stay within the budget whatever the pace."""
    clock = Clock()
    fleet = Fleet(clock)
    attempts = 0
    for pause_s, tries in calls:
        clock.now += pause_s
        for number in range(tries):
            if number:
                if fleet.live((A,), ["a"]).spent:
                    break
                fleet.spend_retry(A)
            end(fleet, A, DOWN, forced=True)
            attempts += 1
    assert attempts <= 1.2 * len(calls) + 10.0 * (clock.now - 100.0) + CREDITS_MAX
    assert attempts == fleet.state_of(A).attempts


def test_an_attempt_that_was_none_pays_nothing_in() -> None:
    fleet = Fleet(Clock())
    before = fleet.retry_credits(A)
    for _ in range(20):
        fleet.lease(A).waive()
    assert fleet.retry_credits(A) == before


def test_hedges_are_a_share_of_a_routes_calls() -> None:
    fleet = Fleet(Clock())
    route = Route("r", ("r",), Strategy.ORDERED, (Target(A),), hedge=HedgeRules(share_max=0.25))
    made = 0
    for _ in range(40):
        fleet.count_call(route)
        if fleet.may_hedge(route):
            fleet.spend_hedge(route)
            made += 1
    assert made == 10
