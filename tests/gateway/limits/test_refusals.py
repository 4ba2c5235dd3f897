from __future__ import annotations

import pytest

from gateway.limits import refusals
from gateway.limits.plans import ask_of, term_of
from policies.limits import Account, Denied
from policies.vocabulary import Limit, Period
from tests.gateway.limited_calls import NOW_S, limit

EDGES = (NOW_S, NOW_S + 1.0, NOW_S + 2.0)


def refusal(*limits: Limit, short: tuple[int, ...] = (0,), wait_s: float | None = 11.2, asked: int = 40) -> str:
    terms = [term_of(one, "ci") for one in limits]
    asks = [ask_of(term, asked, lambda _: EDGES) for term in terms]
    return refusals.over(terms, asks, Denied(short, (Account(90.0, NOW_S, 5),) * len(terms), wait_s)).message


MESSAGES = [
    (
        limit("tokens", 100),
        11.2,
        "The limit of 100 tokens per minute for the key 'ci' is reached: 5 tokens left, 40000 tokens asked for.",
    ),
    (limit("requests", 9, 30.0), 1.0, "The limit of 9 requests per 30s for the key 'ci' is reached."),
    (
        limit("concurrent", 8, scope="team"),
        None,
        "The limit of 8 calls at once for the team 'ci' is reached.",
    ),
    (
        limit("cost", 20 * 10**9, Period.MONTH, "org"),
        90_000.0,
        "The limit of $20.00 per month for the org 'ci' is reached: $20.00 left, $0.00004 asked for.",
    ),
]


@pytest.mark.parametrize(("one", "wait_s", "message"), MESSAGES)
def test_the_limit_its_holder_and_the_wait_are_named(one: Limit, wait_s: float | None, message: str) -> None:
    when = {None: "when a call has ended", 1.0: "in 1s", 11.2: "in 12s", 90_000.0: "in 25h0m0s"}[wait_s]
    assert refusal(one, wait_s=wait_s, asked=40_000) == f"{message} Try again {when}."


def test_a_budget_is_named_before_a_rate() -> None:
    assert "per day" in refusal(limit("tokens", 100), limit("cost", 100, Period.DAY), short=(0, 1))
    assert "per minute" in refusal(limit("tokens", 100), limit("cost", 100, Period.DAY), short=(0,))


def test_full_and_over_are_different_answers() -> None:
    full = refusals.full(2.5)
    assert (full.status, full.code, full.retry_after_s, full.should_retry) == (503, "service_full", 2.5, True)
    assert refusals.full(None).retry_after_s == 1.0


def test_what_cannot_be_asked_is_said_apart() -> None:
    made = (refusals.limits_unavailable(), refusals.ledger_unavailable(), refusals.reservation_lost())
    assert [(error.status, error.code) for error in made] == [
        (503, "limits_unavailable"),
        (503, "ledger_unavailable"),
        (503, "reservation_lost"),
    ]


def test_what_never_fits_says_what_to_change() -> None:
    term = term_of(limit("tokens", 100), "ci")
    error = refusals.too_large(term, 5000, 4096)
    assert (error.status, error.code) == (400, "request_too_large_for_limit")
    assert error.message == (
        "The limit of 100 tokens per minute for the key 'ci' can never take this request, which may come to "
        "5000 tokens. Without a limit of its own its answer counts as 4096 tokens; send a smaller one."
    )
    assert "answer" not in refusals.too_large(term, 5000, None).message
