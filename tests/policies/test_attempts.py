from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.attempts import (
    ATTEMPTS_MAX,
    BACKOFF_CAP_S,
    WAIT_MAX_S,
    AttemptPlan,
    Decision,
    GiveUp,
    Live,
    Outcome,
    Reason,
    Try,
    Wait,
    backoff_s,
    caller_view,
    decide,
)
from policies.failures import Remedy, remedy
from policies.vocabulary import Deployment, Failure, FailureKind

ENDLESS_S = 1e9


def chance(seed: int) -> random.Random:
    return random.Random(seed)


def deployment(name: str) -> Deployment:
    return Deployment(name, "provider", "openai", "model")


def status(number: int, code: str | None = None, retry_after_s: float | None = None) -> Failure:
    return Failure(FailureKind.STATUS, status=number, code=code, retry_after_s=retry_after_s)


def failed(name: str, failure: Failure, *, committed: bool = False) -> Outcome:
    return Outcome(name, failure, 0.0, 1.0, committed)


def plan(names: str, *, primaries: int | None = None, retries: int = 2, deadline_s: float = ENDLESS_S) -> AttemptPlan:
    candidates = tuple(deployment(name) for name in names)
    return AttemptPlan(candidates, len(candidates) if primaries is None else primaries, retries, deadline_s)


def step(of: AttemptPlan, *history: Outcome, now: float = 0.0, live: Live | None = None) -> Decision:
    return decide(of, history, now, chance(1), live or Live())


def shape(decision: Decision) -> str:
    match decision:
        case Try(candidate, forced):
            return f"{'force' if forced else 'try'} {candidate.name}"
        case Wait(_, candidate):
            return f"again {candidate.name}"
        case GiveUp(_, reason):
            return reason.value


def test_first_candidate_is_tried_first() -> None:
    assert shape(step(plan("ab"))) == "try a"


RULES = [
    (Failure(FailureKind.CONNECT), "again a", "again a"),
    (Failure(FailureKind.POOL), "try b", "exhausted"),
    (Failure(FailureKind.RESET, maybe_billed=True), "again a", "again a"),
    (status(408), "again a", "again a"),
    (status(429), "again a", "again a"),
    (status(429, retry_after_s=1.0), "try b", "again a"),
    (status(429, retry_after_s=3600.0), "try b", "exhausted"),
    (status(429, "insufficient_quota"), "try b", "exhausted"),
    (status(429, "enforced_spend_limit_reached"), "try b", "exhausted"),
    (status(500), "again a", "again a"),
    (status(503, retry_after_s=1.0), "try b", "again a"),
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
    (Failure(FailureKind.CRASHED), "try b", "exhausted"),
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
    broke = Live(may_repeat=False)
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
    assert 2.0 <= decision.delay_s <= 2.0 + BACKOFF_CAP_S


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


# -- properties ------------------------------------------------------------------------------------------------------

failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    status=st.none() | st.sampled_from([200, 302, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 520, 529]),
    code=st.none() | st.sampled_from(["content_filter", "context_length_exceeded", "insufficient_quota"]),
    retry_after_s=st.none() | st.floats(),
)


@dataclass(frozen=True)
class World:
    """A route and everything that may go wrong on it."""

    plan: AttemptPlan
    script: tuple[tuple[Failure, float, bool], ...]
    live: Live
    seed: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = "abcdefghi"[: draw(st.integers(1, 9))]
    of = plan(
        names,
        primaries=draw(st.integers(0, len(names))),
        retries=draw(st.integers(1, 5)),
        deadline_s=draw(st.floats(0.1, 60.0)),
    )
    mishap = st.tuples(failures, st.floats(0.0, 5.0), st.sampled_from([False, False, False, True]))
    ends_within = ATTEMPTS_MAX + len(names) + 1  # each deployment may turn the call away at its limit besides
    script = draw(st.lists(mishap, min_size=ends_within, max_size=ends_within))
    live = Live(draw(st.dictionaries(st.sampled_from(names), st.floats(0.0, 100.0))), draw(st.booleans()))
    return World(of, tuple(script), live, draw(st.integers(0, 2**32)))


def live_through(world: World) -> tuple[list[tuple[float, Decision]], list[Outcome]]:
    """Every decision of one call in this world, with its time, and the attempts that it led to."""
    rng, now = chance(world.seed), 0.0
    history: list[Outcome] = []
    decisions: list[tuple[float, Decision]] = []
    for failure, lasts_s, committed in world.script:
        decision = decide(world.plan, tuple(history), now, rng, world.live)
        decisions.append((now, decision))
        if isinstance(decision, GiveUp):
            break
        now += decision.delay_s if isinstance(decision, Wait) else 0.0
        history.append(Outcome(decision.deployment.name, failure, now, now + lasts_s, committed))
        now += lasts_s
    return decisions, history


@given(worlds())
@settings(max_examples=300)
def test_every_call_ends_within_its_bounds(world: World) -> None:
    decisions, history = live_through(world)
    assert isinstance(decisions[-1][1], GiveUp)
    made = [outcome for outcome in history if outcome.failure.kind is not FailureKind.LIMITED]
    assert len(made) <= min(ATTEMPTS_MAX, world.plan.attempts_max)
    for name in {outcome.deployment for outcome in history}:
        assert sum(outcome.deployment == name for outcome in history) <= world.plan.retry_attempts
    for now, decision in decisions:
        match decision:
            case Wait(delay_s, _):
                assert 0.0 <= delay_s <= WAIT_MAX_S + BACKOFF_CAP_S
                assert now + delay_s < world.plan.deadline_s
            case Try():
                assert now < world.plan.deadline_s


@given(worlds())
@settings(max_examples=300)
def test_nothing_is_ever_retried_that_must_not_be(world: World) -> None:
    _, history = live_through(world)
    fallbacks = {candidate.name for candidate in world.plan.candidates[world.plan.primaries :]}
    for number, outcome in enumerate(history):
        later = [after.deployment for after in history[number + 1 :]]
        if outcome.committed or remedy(outcome.failure) is Remedy.NEVER:
            assert not later
        if remedy(outcome.failure) in (Remedy.LEAVE, Remedy.DECLARED):
            assert outcome.deployment not in later
        if remedy(outcome.failure) is Remedy.DECLARED:
            assert set(later) <= fallbacks


@given(worlds())
def test_attempts_are_plain_names_of_the_plan_and_only_forced_ones_are_set_aside(world: World) -> None:
    decisions, history = live_through(world)
    assert {outcome.deployment for outcome in history} <= {candidate.name for candidate in world.plan.candidates}
    for number, (_, decision) in enumerate(decisions):
        if isinstance(decision, Try):
            assert decision.forced == (decision.deployment.name in world.live.set_aside)
            assert not decision.forced or number == 0


@given(worlds())
def test_same_inputs_give_the_same_decisions(world: World) -> None:
    assert live_through(world) == live_through(world)


@given(st.integers(1, ATTEMPTS_MAX), st.integers(0, 2**32))
def test_backoff_has_full_jitter_under_a_cap(tries: int, seed: int) -> None:
    assert 0.0 <= backoff_s(tries, chance(seed)) <= min(BACKOFF_CAP_S, 0.1 * 2 ** (tries - 1))


# -- what the caller gets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (status(401), (502, "api_error", "upstream_auth_error", None)),
        (status(403), (502, "api_error", "upstream_auth_error", None)),
        (status(402), (502, "api_error", "upstream_auth_error", None)),
        (status(400, "invalid_image"), (400, "invalid_request_error", "invalid_image", None)),
        (status(400), (400, "invalid_request_error", "invalid_request", None)),
        (status(404, "model_not_found"), (404, "invalid_request_error", "model_not_found", None)),
        (status(413), (413, "invalid_request_error", "request_too_large", None)),
        (status(422), (422, "invalid_request_error", "invalid_request", None)),
        (status(500, "content_filter"), (400, "invalid_request_error", "content_filter", None)),
        (status(408), (504, "api_error", "upstream_timeout", None)),
        (status(429, retry_after_s=7.0), (429, "rate_limit_error", "upstream_rate_limit", 7.0)),
        (status(429), (429, "rate_limit_error", "upstream_rate_limit", None)),
        (status(429, "insufficient_quota"), (429, "rate_limit_error", "upstream_quota_exhausted", None)),
        (status(400, "billing_not_active"), (429, "rate_limit_error", "upstream_quota_exhausted", None)),
        (status(503, retry_after_s=3.0), (502, "api_error", "upstream_error", 3.0)),
        (status(418), (502, "api_error", "upstream_error", None)),
        (status(302), (502, "api_error", "upstream_error", None)),
        (Failure(FailureKind.CONNECT), (502, "api_error", "upstream_connect_error", None)),
        (Failure(FailureKind.POOL), (503, "api_error", "upstream_busy", None)),
        (Failure(FailureKind.RESET), (502, "api_error", "upstream_incomplete", None)),
        (Failure(FailureKind.TRUNCATED), (502, "api_error", "upstream_incomplete", None)),
        (Failure(FailureKind.BAD_RESPONSE), (502, "api_error", "upstream_bad_response", None)),
        (Failure(FailureKind.FIRST_TOKEN), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.IDLE), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.TOTAL), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.CRASHED), (502, "api_error", "engine_crashed", None)),
        (Failure(FailureKind.IN_BAND), (502, "api_error", "upstream_error", None)),
        (Failure(FailureKind.IN_BAND, code="overloaded_error"), (502, "api_error", "upstream_error", None)),
        (
            Failure(FailureKind.IN_BAND, code="invalid_request_error"),
            (400, "invalid_request_error", "invalid_request_error", None),
        ),
        (Failure(FailureKind.IN_BAND, status=429), (429, "rate_limit_error", "upstream_rate_limit", None)),
        (Failure(FailureKind.IN_BAND, code="content_filter"), (400, "invalid_request_error", "content_filter", None)),
    ],
)
def test_caller_view(failure: Failure, expected: tuple[int, str, str, float | None]) -> None:
    assert caller_view(failure) == expected


@pytest.mark.parametrize("code", ["x" * 65, "two words", "line\nbreak", "", '"}', "\u202e"])
def test_what_is_no_code_is_not_passed_on(code: str) -> None:
    assert caller_view(status(400, code)).code == "invalid_request"


@given(failures)
def test_a_caller_is_never_told_that_their_own_key_or_bill_is_bad(failure: Failure) -> None:
    view = caller_view(failure)
    assert view.status in {400, 404, 413, 422, 429, 502, 503, 504}
    assert view.retry_after_s is None or 0 < view.retry_after_s <= 86_400
