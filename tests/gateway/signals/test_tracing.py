from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.records.settlement import settle
from gateway.signals.tracing import Sampling, attempt_span_id, trace_context, traceparent
from policies.vocabulary import Failure, FailureKind, Usage
from tests.gateway.calls import answered, attempt, call

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX_16 = re.compile("[0-9a-f]{16}")

RNG = Random(7)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [(f"00-{TRACE}-{SPAN}-01", True), (f"00-{TRACE}-{SPAN}-00", False), (f" cc-{TRACE}-{SPAN}-03-what.else ", True)],
)
def test_a_callers_trace_is_gone_on_with(header: str, *, is_sampled: bool) -> None:
    trace = trace_context(header, RNG)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, is_sampled)
    assert HEX_16.fullmatch(trace.span_id)
    assert trace.span_id != SPAN


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n\nx: y",
        f"00-{TRACE}-{SPAN[:-1]}\u0661-01",
    ],
)
def test_garbage_begins_a_new_trace(header: str | None) -> None:
    trace = trace_context(header, RNG)
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert HEX_16.fullmatch(trace.span_id)
    assert (trace.parent_id, trace.sampled) == (None, False)
    assert trace.trace_id != TRACE


@given(st.text())
def test_no_header_makes_it_raise(header: str) -> None:
    assert len(trace_context(header, RNG).trace_id) == 32


def test_attempts_have_spans_of_their_own_and_say_so_upstream() -> None:
    trace = trace_context(f"00-{TRACE}-{SPAN}-01", RNG)
    ids = {attempt_span_id(trace, number) for number in range(1, 50)}
    assert len(ids) == 49
    assert trace.span_id not in ids
    assert traceparent(trace, 3) == f"00-{TRACE}-{attempt_span_id(trace, 3)}-01"


def test_a_span_id_never_wraps_to_zero() -> None:
    trace = trace_context(None, RNG)
    edge = type(trace)(trace.trace_id, "f" * 16, None, sampled=False)
    assert attempt_span_id(edge, 1) == "0000000000000001"


def test_a_share_of_good_calls_is_kept() -> None:
    settled = [settle(answered()) for _ in range(2_000)]
    kept = sum(Sampling(0.25).keeps(one) for one in settled)
    assert 350 < kept < 650
    assert not any(Sampling(0.0).keeps(one) for one in settled)
    assert all(Sampling(1.0).keeps(one) for one in settled)


def test_errors_fallbacks_and_slow_calls_are_always_kept() -> None:
    sampling = Sampling(0.0, slow_s=10.0)
    refused = attempt(failure=Failure(FailureKind.STATUS, status=503))
    assert sampling.keeps(settle(call(refused, status=502, error_code="upstream_error")))
    assert sampling.keeps(settle(call(refused, attempt(Usage(1, 1), number=2))))
    slow = answered()
    slow.ended_s += 10
    assert sampling.keeps(settle(slow))
    assert not sampling.keeps(settle(call(status=401, error_code="invalid_api_key")))


def test_a_callers_flag_counts_only_where_callers_are_trusted() -> None:
    asked = answered()
    asked.trace = trace_context(f"00-{TRACE}-{SPAN}-01", RNG)
    assert not Sampling(0.0).keeps(settle(asked))
    assert Sampling(0.0, trust_callers=True).keeps(settle(asked))
