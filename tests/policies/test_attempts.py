from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.attempts import (
    ATTEMPTS_MAX,
    BACKOFF_CAP_S,
    NAMED_JITTER,
    AttemptPlan,
    GiveUp,
    History,
    Live,
    Outcome,
    Reason,
    Try,
    Wait,
    backoff_max_s,
    decide,
)
from policies.caller_view import caller_view
from policies.failures import Remedy, refused_capabilities, remedy
from policies.route_rules import Capability
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.policies.attempt_worlds import (
    ENDLESS_S,
    World,
    chance,
    credentials,
    deployment,
    failed,
    live_through,
    plan,
    shape,
    status,
    step,
    worlds,
)


def test_first_candidate_is_tried_first() -> None:
    assert shape(step(plan("ab"))) == "try a"


RULES = [
    (Failure(FailureKind.CONNECT), "again a", "again a"),
    (Failure(FailureKind.POOL), "try b", "exhausted"),
    (Failure(FailureKind.RESET, maybe_billed=True), "again a", "again a"),
    (status(408), "again a", "again a"),
    (status(429), "again a", "again a"),
    (status(429, retry_after_s=1.0), "again a", "again a"),
    (status(429, retry_after_s=3600.0), "try b", "exhausted"),
    (status(429, "insufficient_quota"), "try b", "exhausted"),
    (status(429, "enforced_spend_limit_reached"), "try b", "exhausted"),
    (status(500), "again a", "again a"),
    (status(429, retry_after_s=5.0), "again a", "again a"),
    (status(429, retry_after_s=5.1), "try b", "exhausted"),
    (status(503, retry_after_s=1.0), "again a", "again a"),
    (status(529), "again a", "again a"),
    (status(400), "refused", "refused"),
    (status(413), "refused", "refused"),
    (status(422), "refused", "refused"),
    (status(500, "content_filter"), "refused", "refused"),
    (status(401), "try b", "exhausted"),
    (status(403), "try b", "exhausted"),
    (Failure(FailureKind.BAD_RESPONSE), "try b", "again a"),
    (Failure(FailureKind.TRUNCATED), "try b", "again a"),
    (Failure(FailureKind.IN_BAND), "try b", "again a"),
    (Failure(FailureKind.FIRST_TOKEN), "try b", "again a"),
    (Failure(FailureKind.IDLE), "try b", "again a"),
    (Failure(FailureKind.TOTAL), "refused", "refused"),
    (Failure(FailureKind.CRASHED), "try b", "again a"),
    (Failure(FailureKind.LOST), "try b", "again a"),
    (status(502, "engine_crashed"), "try b", "exhausted"),
    (Failure(FailureKind.LIMITED, retry_after_s=0.5), "try b", "exhausted"),
]


@pytest.mark.parametrize(("failure", "with_another", "alone"), RULES)
def test_rule_table(failure: Failure, with_another: str, alone: str) -> None:
    assert shape(step(plan("ab"), failed("a", failure))) == with_another
    assert shape(step(plan("a"), failed("a", failure))) == alone


@pytest.mark.parametrize("failure", [failure for failure, *_ in RULES])
def test_nothing_is_retried_once_the_caller_has_seen_a_token(failure: Failure) -> None:
    assert shape(step(plan("abc"), failed("a", failure, committed=True))) == "committed"


@pytest.mark.parametrize("failure", [status(404), status(400, "context_length_exceeded")])
def test_what_a_model_cannot_take_goes_to_declared_fallbacks_only(failure: Failure) -> None:
    assert shape(step(plan("abf", primaries=2), failed("a", failure))) == "try f"
    assert shape(step(plan("ab", primaries=2), failed("a", failure))) == "exhausted"


def test_a_declared_fallback_that_fails_does_not_open_the_way_back_to_targets() -> None:
    history = (failed("a", status(400, "context_length_exceeded")), failed("f", status(401)))
    assert shape(step(plan("abf", primaries=2), *history)) == "exhausted"


def test_tries_at_one_deployment_are_bounded() -> None:
    assert shape(step(plan("ab"), failed("a", status(503)), failed("a", status(503)))) == "try b"
    assert shape(step(plan("ab", retries=1), failed("a", status(503)))) == "try b"
    assert shape(step(plan("a", retries=3), failed("a", status(503)), failed("a", status(503)))) == "again a"


def test_second_tries_leave_room_for_untried_candidates() -> None:
    of = plan("abcdefg", retries=9)
    assert shape(step(of, failed("a", status(503)))) == "try b"
    history = [failed(name, status(503)) for name in "abcdef"]
    assert shape(step(of, *history)) == "attempts"


def test_spent_retry_budget_forbids_repeats_but_not_moves() -> None:
    broke = Live(spent=frozenset("ab"))
    assert shape(step(plan("ab"), failed("a", status(503)), live=broke)) == "try b"
    assert shape(step(plan("a"), failed("a", status(503)), live=broke)) == "exhausted"


def test_a_full_deployment_costs_no_attempt() -> None:
    full = Failure(FailureKind.LIMITED, retry_after_s=1.0)
    assert shape(step(plan("abcdefgh", retries=1), *[failed(name, full) for name in "abcdefg"])) == "try h"
    assert shape(step(plan("ab"), failed("a", status(503)), failed("a", status(503)), failed("b", full))) == "exhausted"


def test_what_failed_before_a_full_deployment_may_be_tried_again() -> None:
    full = Failure(FailureKind.LIMITED, retry_after_s=1.0)
    assert shape(step(plan("ab"), failed("a", Failure(FailureKind.TRUNCATED)), failed("b", full))) == "again a"
    history = (failed("a", Failure(FailureKind.TRUNCATED)), failed("b", full), failed("a", full))
    assert shape(step(plan("ab", retries=3), *history)) == "exhausted"


CRASHED, LOST = Failure(FailureKind.CRASHED), Failure(FailureKind.LOST)


def test_an_engine_that_died_may_have_a_call_once_more_whatever_breakers_and_budgets_say() -> None:
    live = Live({"a": 9.0}, frozenset("a"))
    for failure in (CRASHED, LOST):
        assert shape(step(plan("a"), failed("a", failure), live=live)) == "again a"


@pytest.mark.parametrize("retries", [2, 6])
def test_a_call_that_may_have_killed_twice_goes_to_no_engine_it_was_at(retries: int) -> None:
    assert shape(step(plan("a", retries=2), failed("a", CRASHED), failed("a", CRASHED))) == "attempts"
    assert shape(step(plan("a", retries=6), failed("a", CRASHED), failed("a", CRASHED))) == "exhausted"
    assert shape(step(plan("ab", retries=retries), failed("a", CRASHED), failed("b", CRASHED))) == "exhausted"
    assert shape(step(plan("a", retries=1), failed("a", CRASHED))) == "attempts"


def test_who_only_waited_has_lost_no_attempt() -> None:
    assert shape(step(plan("a", retries=1), failed("a", LOST))) == "again a"
    assert shape(step(plan("a"), failed("a", LOST), failed("a", CRASHED))) == "again a"
    assert shape(step(plan("a"), failed("a", CRASHED), failed("a", LOST))) == "again a"
    assert shape(step(plan("a"), *[failed("a", LOST)] * (ATTEMPTS_MAX - 1))) == "again a"
    assert shape(step(plan("a"), *[failed("a", LOST)] * ATTEMPTS_MAX)) == "exhausted"


def test_set_aside_candidates_are_skipped() -> None:
    assert shape(step(plan("abc"), live=Live({"a": 9.0}))) == "try b"
    assert shape(step(plan("abc"), failed("a", status(401)), live=Live({"b": 9.0}))) == "try c"


def test_the_last_one_standing_is_never_ejected() -> None:
    assert shape(step(plan("ab"), live=Live({"a": 9.0, "b": 5.0}))) == "force b"
    assert shape(step(plan("a"), live=Live({"a": 300.0}))) == "force a"


def test_only_a_call_with_no_attempt_yet_forces_one() -> None:
    everyone = Live({"a": 9.0, "b": 9.0})
    assert shape(step(plan("ab"), failed("a", status(503)), live=everyone)) == "exhausted"


def test_a_cooldown_that_ends_within_the_named_wait_does_not_forbid_it() -> None:
    limited = failed("a", status(429, retry_after_s=2.0))
    decision = step(plan("a"), limited, now=10.0, live=Live({"a": 12.0}))
    assert isinstance(decision, Wait)
    assert 2.0 <= decision.delay_s <= 2.0 * (1.0 + NAMED_JITTER)


def test_no_wait_reaches_the_deadline() -> None:
    limited = failed("a", status(429, retry_after_s=2.0))
    assert shape(step(plan("a", deadline_s=2.0), limited)) == "exhausted"
    assert shape(step(plan("a", deadline_s=5.0), limited)) == "again a"
    assert shape(step(plan("ab", deadline_s=1.0), failed("a", status(503)), now=1.0)) == "deadline"


def test_a_call_out_of_time_before_its_first_attempt_times_out() -> None:
    decision = step(plan("a", deadline_s=1.0), now=1.0)
    assert isinstance(decision, GiveUp)
    assert decision.reason is Reason.DEADLINE
    assert caller_view(decision.failure).status == 504


@pytest.mark.parametrize("nonsense", [-1.0, float("nan"), 0.0])
def test_nonsense_in_retry_after_is_ignored(nonsense: float) -> None:
    assert shape(step(plan("ab"), failed("a", status(429, retry_after_s=nonsense)))) == "again a"


# -- credentials, declared fallbacks, what a model lacks --------------------------------------------------------------


def test_another_credential_goes_before_a_wait() -> None:
    limited = failed("a@1", status(429, retry_after_s=2.0))
    assert shape(step(credentials("b"), limited)) == "try a@2"
    again = failed("a@2", status(429, retry_after_s=2.0))
    assert shape(step(credentials("b"), limited, again)) == "again a@2"
    assert shape(step(credentials("b"), limited, live=Live({"a@2": 9.0}))) == "again a@1"


def test_credentials_leave_an_attempt_for_other_deployments() -> None:
    of = credentials("b", names="12345678")
    history = [failed(f"a@{number}", status(429, retry_after_s=60.0)) for number in range(1, 6)]
    assert shape(step(of, *history[:4])) == "try a@5"
    assert shape(step(of, *history)) == "try b"


def test_a_refused_credential_moves_to_the_next_one() -> None:
    assert shape(step(credentials("b"), failed("a@1", status(401)))) == "try a@2"


@pytest.mark.parametrize("failure", [Failure(FailureKind.POOL), status(503, retry_after_s=60.0)])
def test_what_is_wrong_with_the_server_is_wrong_for_all_its_credentials(failure: Failure) -> None:
    assert shape(step(credentials("b"), failed("a@1", failure))) == "try b"


def declared(context: str = "", content: str = "") -> AttemptPlan:
    def some(names: str) -> tuple[Deployment, ...]:
        return tuple(deployment(name) for name in names)

    return plan("abf", primaries=2)._replace(context_fallbacks=some(context), content_fallbacks=some(content))


TOO_LONG = status(400, "context_length_exceeded")
FILTERED = status(400, "content_filter")


def test_what_is_too_long_goes_where_the_route_says() -> None:
    assert shape(step(declared(context="c"), failed("a", TOO_LONG))) == "try c"
    assert shape(step(declared(), failed("a", TOO_LONG))) == "try f"
    assert shape(step(declared(context="c"), failed("a", TOO_LONG), failed("c", status(401)))) == "exhausted"
    assert shape(step(declared(context="c"), failed("a", TOO_LONG), failed("c", status(503)))) == "again c"


def test_what_is_refused_for_its_content_goes_where_the_route_says_and_nowhere_else() -> None:
    assert shape(step(declared(content="x"), failed("a", FILTERED))) == "try x"
    assert shape(step(declared(context="c"), failed("a", FILTERED))) == "refused"
    history = (failed("a", FILTERED), failed("x", FILTERED))
    assert shape(step(declared(content="x"), *history)) == "exhausted"


def test_a_refusal_for_content_binds_beyond_later_failures() -> None:
    history = (failed("a", FILTERED), failed("x", TOO_LONG))
    assert shape(step(declared(context="c", content="x"), *history)) == "exhausted"


NO_TOOLS = Failure(FailureKind.STATUS, "This model does not support tools.", 400)


def able(name: str, *, has: str = "", lacks: str = "") -> Deployment:
    known = frozenset({Capability(has)} if has else ())
    missing = frozenset({Capability(lacks)} if lacks else ())
    return Deployment(name, "provider", "openai", "model", has=known, lacks=missing)


def test_what_a_model_turns_out_to_lack_goes_to_one_that_is_known_to_have_it() -> None:
    of = AttemptPlan((able("a"), able("b"), able("c", has="tools")), 3, 2, ENDLESS_S)
    needing = of._replace(needed=frozenset({Capability.TOOLS}))
    assert shape(step(needing, failed("a", NO_TOOLS))) == "try c"
    assert shape(step(of, failed("a", NO_TOOLS))) == "refused"
    assert shape(step(needing._replace(candidates=of.candidates[:2]), failed("a", NO_TOOLS))) == "exhausted"


def test_a_model_that_is_known_to_have_it_finds_fault_with_the_request() -> None:
    candidates = (able("a", has="tools"), able("c", has="tools"))
    of = AttemptPlan(candidates, 2, 2, ENDLESS_S, needed=frozenset({Capability.TOOLS}))
    assert shape(step(of, failed("a", NO_TOOLS))) == "refused"


# -- properties ------------------------------------------------------------------------------------------------------


@given(worlds())
@settings(max_examples=300)
def test_every_call_ends_within_its_bounds(world: World) -> None:
    life = live_through(world)
    assert isinstance(life.decisions[-1][1], GiveUp)
    lost = [outcome for outcome in life.history if outcome.failure.kind is FailureKind.LOST]
    tried = [outcome for outcome in life.history if outcome.failure.kind is not FailureKind.LOST]
    made = [outcome for outcome in tried if outcome.failure.kind is not FailureKind.LIMITED]
    assert len(made) <= min(ATTEMPTS_MAX, world.plan.attempts_max)
    for name in {outcome.deployment for outcome in tried}:
        assert sum(outcome.deployment == name for outcome in tried) <= world.plan.retry_attempts
    # Who only waited when an engine died has had no try; but not for ever.
    assert len(lost) <= ATTEMPTS_MAX + len(world.plan.everyone)
    for now, decision in life.decisions:
        match decision:
            case Wait(delay_s, _):
                longest_s = world.plan.wait_max_s * (1.0 + NAMED_JITTER) + BACKOFF_CAP_S
                assert 0.0 <= delay_s <= longest_s
                assert now + delay_s < world.plan.deadline_s
            case Try():
                assert now < world.plan.deadline_s
    assert all(outcome.started_s < world.plan.deadline_s for outcome in life.history)


def lacked(world: World, outcome: Outcome) -> bool:
    """A deployment of which nobody knew said that it lacks what the request needs."""
    here = next(candidate for candidate in world.plan.everyone if candidate.id == outcome.deployment)
    return bool((refused_capabilities(outcome.failure) & world.plan.needed) - here.has - here.lacks)


@given(worlds())
@settings(max_examples=300)
def test_nothing_is_ever_retried_that_must_not_be(world: World) -> None:
    life = live_through(world)
    declared = {candidate.id for candidate in world.plan.candidates[world.plan.primaries :]}
    for number, outcome in enumerate(life.history):
        rest = life.history[number + 1 :]
        company = {name for pair in life.beside if outcome.deployment in pair for name in pair}
        # What was under way beside it had begun already, in the very same moment perhaps.
        later = [
            after.deployment
            for after in rest
            if not (after.deployment in company - {outcome.deployment} and after.started_s <= outcome.ended_s)
        ]
        if lacked(world, outcome):
            able = {d.id for d in world.plan.everyone if world.plan.needed <= d.has}
            assert set(later) <= able
            continue
        what = remedy(outcome.failure)
        if outcome.committed or what is Remedy.NEVER:
            assert not later
        if what not in (Remedy.AGAIN, Remedy.MOVE):
            assert outcome.deployment not in later
        if what is Remedy.DECLARED:
            assert set(later) <= declared | ids(world.plan.context_fallbacks) | ids(world.plan.content_fallbacks)
        if what is Remedy.CONTEXT:
            pool = ids(world.plan.context_fallbacks) or declared
            assert set(later) <= pool | ids(world.plan.content_fallbacks)
        if what is Remedy.CONTENT:
            assert set(later) <= ids(world.plan.content_fallbacks)


def ids(deployments: tuple[Deployment, ...]) -> set[str]:
    return {candidate.id for candidate in deployments}


@given(worlds())
def test_attempts_are_of_the_plan_and_only_forced_ones_are_set_aside(world: World) -> None:
    life = live_through(world)
    assert {outcome.deployment for outcome in life.history} <= ids(world.plan.everyone)
    for number, (_, decision) in enumerate(life.decisions):
        if isinstance(decision, Try):
            assert decision.forced == (decision.deployment.id in world.live.set_aside)
            assert not decision.forced or number == 0
        if isinstance(decision, Wait):
            # Whoever was there when an engine died costs the deployment no more than its first try would have.
            died_there = any(
                one.deployment == decision.deployment.id
                and one.failure is not None
                and one.failure.kind in (FailureKind.CRASHED, FailureKind.LOST)
                for one in life.history
            )
            assert died_there or decision.deployment.id not in world.live.spent


@given(worlds())
def test_a_hedge_goes_elsewhere_and_only_where_one_may(world: World) -> None:
    for first, other in live_through(world).beside:
        assert first != other
        assert world.plan.hedge is not None
        assert world.live.may_hedge
        assert other not in world.live.set_aside


@given(worlds())
def test_same_inputs_give_the_same_decisions(world: World) -> None:
    assert live_through(world) == live_through(world)


@given(st.integers(1, ATTEMPTS_MAX))
def test_backoff_doubles_up_to_its_cap(tries: int) -> None:
    assert backoff_max_s(tries) == min(BACKOFF_CAP_S, 0.1 * 2 ** (tries - 1))


@given(st.integers(0, 2**32))
def test_a_wait_has_full_jitter(seed: int) -> None:
    decision = decide(plan("a"), History((failed("a", status(503)),)), 1.0, chance(seed))
    assert isinstance(decision, Wait)
    assert 0.0 <= decision.delay_s <= backoff_max_s(1)
