from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.explaining.attempt_bills import AttemptTold, LineTold, Mismatch, PriceTold
from gateway.explaining.decisions import Candidate, Decision, Step, kept
from gateway.explaining.traced import CallTold, Sources, StageTold, TimingsTold, TracedCall, traced
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.ledger.lookup import Found
from gateway.watching.told_trace import told_trace
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import PRICE, attempt, call

hostile = st.text(max_size=90) | st.sampled_from(("\x1b]0;owned\x07", "a\nb", "\u202egpt", "x" * 300, "\x9b31m"))
counts = st.integers(0, 10**12)
lines = st.builds(
    LineTold, hostile, hostile, counts, st.sampled_from(("token", "request", "search")), counts, counts, hostile
)
attempts = st.builds(
    AttemptTold, counts, hostile, hostile, hostile, hostile, st.integers(0, 999), st.none() | hostile,
    cost_nanousd=st.none() | counts, unpriced=st.none() | hostile, cache=st.none() | hostile,
    price=st.none() | st.builds(PriceTold, hostile, hostile, hostile, hostile),
    lines=st.lists(lines, max_size=3), mismatches=st.lists(st.builds(Mismatch, hostile, counts, counts), max_size=2),
)  # fmt: skip
decisions = st.builds(
    Decision, hostile, counts, hostile, hostile, hostile, route=st.none() | hostile, error=st.none() | hostile,
    candidates=st.lists(st.builds(Candidate, hostile, hostile, detail=hostile, refused=hostile), max_size=2),
    attempts=st.lists(st.builds(Step, counts, hostile, outcome=hostile, began_ms=st.floats(0, 1e6)), max_size=2),
)  # fmt: skip
stages = st.builds(StageTold, hostile, st.floats(0, 1e6), st.floats(0, 1e6))
traces = st.builds(
    TracedCall, hostile, st.builds(CallTold, st.integers(0, 10**13), hostile, hostile, hostile, hostile),
    st.none() | hostile, st.none() | counts, st.none() | decisions,
    st.none() | st.builds(TimingsTold, st.floats(0, 1e6), st.lists(stages, max_size=2)),
    st.lists(attempts, max_size=2), unknown=st.lists(hostile, max_size=2),
)  # fmt: skip


@given(traces)
def test_whatever_a_gateway_says_stays_on_its_lines_and_acts_upon_nothing(told: TracedCall) -> None:
    text = told_trace(told, 80)
    assert text.endswith("\n")
    for line in text.split("\n"):
        assert not line or line.isprintable()
        assert len(line) <= 80


def fallen_back() -> TracedCall:
    failed = attempt(number=1, failure=Failure(FailureKind.STATUS, status=503))
    settled = settle(call(failed, attempt(Usage(100, 10), number=2)))
    rows = ledger_rows(settled)
    memory = kept(settled.call, rows, settled.outcome)
    found = traced(settled.call.id, Sources(memory, Found(rows, {PRICE.id: PRICE})))
    assert found is not None
    return found


def test_a_call_reads_from_its_question_to_its_cost() -> None:
    text = told_trace(fallen_back(), 80)
    parts = ["200 ok, 503 ms", "team platform, user ada", "route smart", "TIMES of 503 ms", "ATTEMPTS"]
    parts += ["1 first gpt-4o (openai, gpt-4o-2024-08-06): status 503 in 498 ms", "nothing was used"]
    parts += ["100 tokens x 2.5 USD/M tokens", "COST OF THE CALL  0.00035 USD"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "NOT KNOWN" not in text
    assert "MISMATCH" not in text


def test_several_costs_are_added_up_in_sight() -> None:
    told = fallen_back()
    first = msgspec.structs.replace(told.attempts[1], attempt=1)
    told.attempts, told.cost_nanousd = [first, told.attempts[1]], 700_000
    assert "COST OF THE CALL  0.0007 USD = 0.00035 + 0.00035" in told_trace(told, 80)
    told.cost_nanousd = 1
    assert "MISMATCH: its attempts cost 0.0007 USD" in told_trace(told, 80)


def test_an_unpriced_attempt_is_no_cheap_call() -> None:
    told = fallen_back()
    told.attempts[0].unpriced = "no_usage"
    assert "UNPRICED: one attempt has no known cost" in told_trace(told, 80)


def test_rows_that_are_not_those_that_were_handed_over_are_said() -> None:
    told = fallen_back()
    told.disagreeing = [2]
    assert "MISMATCH: the ledger's row is not the one" in told_trace(told, 80)


def test_out_of_the_ledger_alone_it_says_what_is_missing() -> None:
    told = fallen_back()
    told.decision = told.timings = told.outcome = None
    told.unknown = ["the decision"]
    text = told_trace(told, 80)
    assert "its last attempt: 200 ok" in text
    assert "TIMES\n" in text
    assert text.endswith("NOT KNOWN\n  the decision\n")


def test_a_call_that_was_sent_to_nobody_charged_nothing() -> None:
    refused = settle(call(status=404, error_code="model_not_found", route=None))
    found = traced("req_1", Sources(kept(refused.call, (), refused.outcome), Found([], {})))
    assert found is not None
    text = told_trace(found, 80)
    assert "404 client_error model_not_found" in text
    assert "no deployment was asked, and nothing was charged" in text
