from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.call import TraceContext
from gateway.signals.tracing import (
    NEVER,
    attempt_span_id,
    draw_of,
    gone_on_with,
    presented,
    sampled_from,
    stage_span_id,
    trace_context,
    trace_headers,
    trace_state,
    traceparent,
    traceresponse,
)
from tests.gateway.calls import answered

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX_16, HEX_32 = re.compile("[0-9a-f]{16}"), re.compile("[0-9a-f]{32}")
CALLERS = f"00-{TRACE}-{SPAN}-01"
GARBAGE = [
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
    f"cc-{TRACE}-{SPAN}-01-" + "x" * 1000,
]

RNG = Random(7)


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [(CALLERS, True), (f"00-{TRACE}-{SPAN}-00", False), (f" cc-{TRACE}-{SPAN}-03-what.else ", True)],
)
def test_a_trusted_callers_trace_is_gone_on_with(header: str, *, is_sampled: bool) -> None:
    trace = gone_on_with(trace_context(header, RNG), headers(("Traceparent", header)))
    assert (trace.trace_id, trace.parent_id, trace.sampled, trace.linked) == (TRACE, SPAN, is_sampled, None)
    assert HEX_16.fullmatch(trace.span_id)
    assert trace.span_id != SPAN


def test_anybody_elses_call_begins_a_trace_with_a_link_to_the_one_it_names() -> None:
    trace = trace_context(CALLERS, RNG)
    assert HEX_32.fullmatch(trace.trace_id)
    assert trace.trace_id != TRACE
    assert (trace.parent_id, trace.sampled, trace.linked) == (None, False, (TRACE, SPAN))


@pytest.mark.parametrize("header", [None, *GARBAGE])
def test_garbage_is_as_good_as_nothing(header: str | None) -> None:
    trace = trace_context(header, RNG)
    assert HEX_32.fullmatch(trace.trace_id)
    assert HEX_16.fullmatch(trace.span_id)
    assert (trace.parent_id, trace.sampled, trace.linked) == (None, False, None)
    if header is not None:
        assert gone_on_with(trace, headers(("traceparent", header))) is trace


@given(st.text())
def test_no_header_makes_it_raise(header: str) -> None:
    assert presented(header) is None
    assert trace_state(headers(("tracestate", header))).isascii()


@given(st.integers(0, (1 << 192) - 1), st.floats(0, 1))
def test_the_head_is_drawn_from_the_trace_id_as_every_sampler_draws(bits: int, ratio: float) -> None:
    class Bits(Random):
        def getrandbits(self, count: int, /) -> int:
            assert count == 192
            return bits

    trace = trace_context(None, Bits(), sampled_from(ratio))
    assert trace.sampled == (draw_of(trace.trace_id) >= sampled_from(ratio))
    assert (trace.trace_id, trace.span_id) == (f"{bits >> 64:032x}", f"{bits & (1 << 64) - 1:016x}")


def test_a_share_of_all_draws_is_sampled() -> None:
    assert (sampled_from(1.0), sampled_from(0.0)) == (0, NEVER)
    kept = sum(trace_context(None, RNG, sampled_from(0.25)).sampled for _ in range(4_000))
    assert 800 < kept < 1_200


@given(st.integers(0, (1 << 64) - 1).map("{:016x}".format), st.integers(1, 1000), st.integers(0, 20))
def test_ids_of_attempts_and_stages_are_sound_and_differ(span_id: str, attempt: int, stage: int) -> None:
    trace = TraceContext(TRACE, span_id, None, sampled=False)
    ids = {span_id, attempt_span_id(trace, attempt), stage_span_id(trace, stage)}
    assert len(ids) == 3
    assert all(HEX_16.fullmatch(one) for one in ids)
    assert "0" * 16 not in ids - {span_id}


def test_what_is_said_of_a_trace() -> None:
    trace = TraceContext(TRACE, SPAN, None, sampled=True)
    assert traceresponse(trace) == CALLERS
    assert traceparent(trace, 3) == f"00-{TRACE}-{attempt_span_id(trace, 3)}-01"
    assert traceresponse(TraceContext(TRACE, SPAN, None, sampled=False)).endswith("-00")


STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"


def test_a_trusted_callers_state_goes_along_with_its_trace_only() -> None:
    rojo, congo = STATE.split(",")
    told = headers(("traceparent", CALLERS), ("tracestate", rojo), ("TraceState", f" {congo} "))
    call = answered()
    call.headers = told
    call.trace = trace_context(CALLERS, RNG)
    assert trace_headers(call, 1) == (("traceparent", traceparent(call.trace, 1)),)
    call.trace = gone_on_with(call.trace, told)
    assert trace_headers(call, 2) == (("traceparent", traceparent(call.trace, 2)), ("tracestate", STATE))


@pytest.mark.parametrize(
    "state",
    [
        "a=1,a=2",
        "A=1",
        "=1",
        "a",
        "a=1\nx: y",
        "a=\u00e9",
        "a=1,b=" + "x" * 600,
        ",".join(f"k{number}=1" for number in range(33)),
        "a=b=c",
    ],
)
def test_a_state_that_breaks_the_rules_goes_nowhere(state: str) -> None:
    assert trace_state(headers(("tracestate", state))) == ""


def test_a_tenants_state_is_a_state() -> None:
    state = "fw529a3039@dt=FfAAAAgBAAAAAg,0a_-*/=x y!"
    assert trace_state(headers(("tracestate", state))) == state
