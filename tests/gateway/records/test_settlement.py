from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.limits.admitted import Admitted
from gateway.records.settlement import (
    attempt_outcome,
    cost_so_far,
    count_missing,
    lacks_usage,
    outcome_of,
    settle,
    used_by,
)
from gateway.signals.telemetry import Estimated, Outcome, Unpriced
from gateway.state.limits.in_process import InProcessLimitStore
from policies.pricing import billed_price
from policies.tariffs import Price, Rates, Tariff
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.gateway.calls import FREE_OF_PRICE, answered, attempt, call

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.call import Attempt, Call

LOST = Failure(FailureKind.TRUNCATED, maybe_billed=True)


class FakeCounts:
    """A word is a token, and every prompt has ten."""

    async def count(self, text_parts: list[str], model: str) -> int:
        return len("".join(text_parts).split()) if model else 0

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int:
        return 10 if request is not None and model else 0


def failed(kind: FailureKind, status: int | None = None) -> Attempt:
    return attempt(failure=Failure(kind, status=status))


@pytest.mark.parametrize(
    ("finished", "outcome"),
    [
        (answered(), Outcome.OK),
        (call(status=400, error_code="invalid_request"), Outcome.CLIENT_ERROR),
        (call(status=404, error_code="model_not_found"), Outcome.CLIENT_ERROR),
        (call(status=401, error_code="invalid_api_key"), Outcome.DENIED_AUTH),
        (call(status=403, error_code="route_not_allowed"), Outcome.DENIED_AUTH),
        (call(status=402, error_code="budget"), Outcome.DENIED_BUDGET),
        (call(status=429, error_code="rate_limit"), Outcome.DENIED_RATE),
        (call(status=500, error_code="internal_error"), Outcome.GATEWAY_ERROR),
        (call(status=503, error_code="shutting_down"), Outcome.GATEWAY_ERROR),
        (call(attempt(Usage(1, 1)), status=500, error_code="internal_error"), Outcome.GATEWAY_ERROR),
        (call(failed(FailureKind.STATUS, 503), status=502, error_code="upstream_error"), Outcome.UPSTREAM_ERROR),
        (call(failed(FailureKind.STATUS, 429), status=429, error_code="rate_limited"), Outcome.UPSTREAM_ERROR),
        (call(failed(FailureKind.STATUS, 400), status=400, error_code="bad"), Outcome.CLIENT_ERROR),
        (call(failed(FailureKind.FIRST_TOKEN), status=504, error_code="timeout"), Outcome.TIMEOUT),
        (call(failed(FailureKind.TRUNCATED), status=200, error_code="upstream_incomplete"), Outcome.UPSTREAM_ERROR),
        (call(failed(FailureKind.IDLE), status=200, error_code="timeout"), Outcome.TIMEOUT),
        (call(attempt(cancelled=True), status=499, cancelled=True), Outcome.CLIENT_CANCELLED),
    ],
)
def test_each_end_of_a_call_has_its_outcome(finished: Call, outcome: Outcome) -> None:
    assert outcome_of(finished) is outcome


@pytest.mark.parametrize(
    ("code", "outcome"), [("rate_limit_exceeded", Outcome.DENIED_RATE), ("insufficient_quota", Outcome.DENIED_BUDGET)]
)
async def test_what_our_limits_refuse_is_a_denial_even_after_a_failure(code: str, outcome: Outcome) -> None:
    refused = call(failed(FailureKind.RESET), status=429, error_code=code)
    assert outcome_of(refused) is Outcome.UPSTREAM_ERROR
    refused.admitted = Admitted(InProcessLimitStore(float))
    refused.admitted.refused_by = "key.tokens.min"
    assert outcome_of(refused) is outcome


def test_an_attempts_outcome_is_one_of_few_words() -> None:
    assert attempt_outcome(attempt()) == "ok"
    assert attempt_outcome(attempt(cancelled=True)) == "client_cancelled"
    assert attempt_outcome(failed(FailureKind.STATUS, 429)) == "rate_limited"
    assert attempt_outcome(failed(FailureKind.STATUS, 503)) == "status"
    assert attempt_outcome(failed(FailureKind.RESET)) == "reset"


def test_reported_usage_is_priced_and_written_back_to_the_attempt() -> None:
    settled = settle(answered(Usage(100, 10)))
    assert settled.cost_nanousd == 350_000
    assert settled.call.attempts[0].cost is settled.attempts[0].cost
    assert settled.attempts[0].unpriced is None
    assert settled.overhead_s == pytest.approx(0.005)


async def test_a_wait_for_the_call_s_turn_is_no_overhead_of_ours() -> None:
    made = answered(Usage(3, 4))
    before_s = settle(made).overhead_s
    made.admitted = Admitted(InProcessLimitStore(float))
    made.admitted.waited_s = before_s / 2
    assert settle(made).overhead_s == pytest.approx(before_s / 2)
    made.admitted.waited_s = before_s * 2
    assert settle(made).overhead_s == 0.0


def test_what_was_never_sent_used_nothing_and_costs_nothing() -> None:
    finished = call(attempt(failure=Failure(FailureKind.CONNECT), sent=False), status=502, error_code="upstream_error")
    assert not lacks_usage(finished)
    (settlement,) = settle(finished).attempts
    assert (settlement.usage, settlement.cost, settlement.unpriced) == (Usage(), None, None)


def test_a_refusal_by_status_generated_nothing() -> None:
    finished = call(failed(FailureKind.STATUS, 500), status=502, error_code="upstream_error")
    assert not lacks_usage(finished)
    assert settle(finished).attempts[0].cost is None


async def test_a_cancelled_stream_pays_for_what_was_received() -> None:
    finished = call(attempt(cancelled=True, text=("one two ", "three")), cancelled=True, status=200)
    assert lacks_usage(finished)
    await count_missing(finished, FakeCounts())
    assert not lacks_usage(finished)
    (settlement,) = settle(finished).attempts
    assert settlement.usage == Usage(10, 3, estimated=True)
    assert settlement.estimated is Estimated.DISCONNECT
    assert settlement.cost is not None


async def test_usage_seen_before_the_break_is_a_lower_bound() -> None:
    early = Usage(400, 1, 300)
    finished = call(attempt(early, cancelled=True, text=("a b c d",)), cancelled=True)
    await count_missing(finished, FakeCounts())
    assert settle(finished).attempts[0].usage == Usage(400, 4, 300, estimated=True)


PRIORITY, FLEX = Tariff(Rates(2_000_000, output_nanousd=2_000_000)), Tariff(Rates(1, output_nanousd=1))
TIERS = Price(
    "p", "override", "", 1_000_000, output_nanousd=1_000_000, services=(("flex", FLEX), ("priority", PRIORITY))
)


@pytest.mark.parametrize(
    ("asked", "told", "service"),
    [
        ("priority", None, "priority"),
        ("flex", None, ""),
        ("gold", None, ""),
        ("priority", "", ""),
        ("flex", "flex", "flex"),
        ("auto", "priority", "priority"),
    ],
)
async def test_who_leaves_early_pays_for_the_service_that_was_had(asked: str, told: str | None, service: str) -> None:
    tried = attempt(cancelled=True, text=("one two",), deployment=Deployment("d", "p", "openai", "m", price=TIERS))
    left = call(tried, status=499, cancelled=True, stream=True)
    left.request.members["service_tier"] = Raw(f'"{asked}"'.encode())
    assert tried.tally is not None
    tried.tally.service = told
    await count_missing(left, FakeCounts())
    assert tried.usage is not None
    assert ("" if tried.usage.details is None else tried.usage.details.service) == service


async def test_usage_that_text_came_after_is_a_lower_bound_even_of_a_good_answer() -> None:
    finished = call(attempt(Usage(12, 1), text=("one two three",), finish=("stop",)), stream=True)
    (tried,) = finished.attempts
    assert not lacks_usage(finished)
    assert tried.tally is not None
    tried.tally.is_usage_early = True
    assert lacks_usage(finished)
    assert cost_so_far(finished) is None
    await count_missing(finished, FakeCounts())
    assert tried.usage == Usage(12, 3, estimated=True)
    assert not lacks_usage(finished)


def test_usage_that_came_with_the_end_is_exact_even_if_the_caller_left() -> None:
    finished = call(attempt(Usage(400, 7), cancelled=True, finish=("stop",)), cancelled=True)
    assert not lacks_usage(finished)
    assert settle(finished).attempts[0].usage == Usage(400, 7)


async def test_a_good_answer_without_usage_is_estimated() -> None:
    finished = call(attempt(text=("x y",), finish=("stop",)))
    await count_missing(finished, FakeCounts())
    (settlement,) = settle(finished).attempts
    assert settlement.usage == Usage(10, 2, estimated=True)
    assert settlement.estimated is Estimated.NO_USAGE_CHUNK


async def test_text_that_was_not_kept_counts_in_proportion() -> None:
    finished = call(attempt(failure=LOST, text=("word " * 100,)), status=200, error_code="upstream_incomplete")
    tally = finished.attempts[0].tally
    assert tally is not None
    tally.text_dropped_chars = 1500
    await count_missing(finished, FakeCounts())
    assert settle(finished).attempts[0].usage.output_tokens == 400


def test_an_explicit_zero_is_zero() -> None:
    assert not lacks_usage(call(attempt(Usage(0, 0), finish=("stop",))))


def test_a_call_that_could_not_be_counted_is_flagged_not_free() -> None:
    (settlement,) = settle(call(attempt(text=("x",)))).attempts
    assert (settlement.cost, settlement.unpriced) == (None, Unpriced.NO_USAGE)
    assert settlement.usage.estimated


def test_the_ledger_says_of_a_call_that_could_not_be_counted_what_its_limits_were_charged() -> None:
    uncounted = attempt()
    settle(call(uncounted))
    assert used_by(uncounted) is None  # which is charged as it was reserved, before its row is written and in it


def test_an_unknown_price_is_flagged() -> None:
    settled = settle(call(attempt(Usage(5, 5), deployment=FREE_OF_PRICE)))
    assert settled.cost_nanousd is None
    assert settled.attempts[0].unpriced == "no_price"


def test_what_a_provider_bills_for_an_unlisted_model_has_the_margin_put_on() -> None:
    unlisted = Deployment("d", "broker", "openai", "new-model", billed_price=billed_price(50_000))
    billed = Usage(10, 5, details=UsageDetails(billed_nanousd=1_000_000))
    settled = settle(call(attempt(billed, deployment=unlisted), attempt(Usage(10, 5), deployment=unlisted)))
    charged, unpriced = settled.attempts
    assert charged.cost is not None
    assert (charged.cost.total_nanousd, charged.cost.upstream_nanousd) == (1_050_000, 1_000_000)
    assert (unpriced.cost, unpriced.unpriced) == (None, Unpriced.NO_PRICE)


def test_half_a_price_is_no_price() -> None:
    price = Price("m", "override", "2026-11-01", input_nanousd=1_000)
    half = Deployment("half", "p", "openai", "m", price=price)
    assert settle(call(attempt(Usage(5, 5), deployment=half))).attempts[0].unpriced == "no_output_rate"


COUNTS = st.integers(-(2**70), 2**70)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_usage_that_an_upstream_may_claim_breaks_the_books(
    input_tokens: int, output_tokens: int, cached: int, written: int, reasoning: int
) -> None:
    (settlement,) = settle(answered(Usage(input_tokens, output_tokens, cached, written, reasoning))).attempts
    usage, cost = settlement.usage, settlement.cost
    assert cost is not None
    assert 0 <= cost.total_nanousd < 2**63
    assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


def test_an_attempt_that_ends_of_our_own_doing_says_so() -> None:
    refused = call(attempt(), status=400, error_code="invalid_header")
    refused.attempts[0].stopped = "refused"
    assert attempt_outcome(refused.attempts[0]) == "refused"
    assert outcome_of(refused) is Outcome.CLIENT_ERROR
    broken = call(attempt(), status=500, error_code="internal_error")
    broken.attempts[0].stopped = "internal_error"
    assert attempt_outcome(broken.attempts[0]) == "internal_error"
    assert outcome_of(broken) is Outcome.GATEWAY_ERROR


@pytest.mark.parametrize(
    ("made", "used"),
    [
        (attempt(Usage(3, 4)), Usage(3, 4)),
        (attempt(Usage(3, -4)), Usage(3, 0)),
        (attempt(sent=False), Usage()),
        (attempt(), None),
    ],
)
def test_what_an_attempt_used_is_as_it_will_be_billed(made: Attempt, used: Usage | None) -> None:
    assert used_by(made) == used
