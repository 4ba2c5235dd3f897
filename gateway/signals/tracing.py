"""Trace identity on the path, as W3C Trace Context has it. Spans are built later, off the path, for kept traces only.

A caller's `traceparent` is gone on with where its key is trusted to say what it is part of; anybody else's call begins
a trace of its own, with a link to the one that was named. Whoever could choose trace ids could write into others'
traces, and have as many kept as it likes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace
from multidict import istr

from gateway.call import TraceContext

if TYPE_CHECKING:
    from random import Random

    from multidict import CIMultiDictProxy

    from gateway.call import Call

TRACEPARENT: Final = istr("traceparent")
TRACESTATE: Final = istr("tracestate")
TRACERESPONSE: Final = "traceresponse"

RANDOM_BITS: Final = 56
"""Of a trace id, the last ones: W3C says that they are random, and every sampler draws from them."""
NEVER: Final = 1 << RANDOM_BITS

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_MASK: Final = NEVER - 1
_HEADER_CHARS_MAX: Final = 512
_MEMBERS_MAX: Final = 32
_KEY: Final = r"(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER: Final = re.compile(rf"{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class Presented(NamedTuple):
    """What a `traceparent` says."""

    trace_id: str
    span_id: str
    sampled: bool


def presented(header: str) -> Presented | None:
    """What the header says; None where it is malformed. Later versions may have more parts, and are read as far as
    this one goes.
    """
    match = _TRACEPARENT.fullmatch(header.strip()) if len(header) <= _HEADER_CHARS_MAX else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # ff is forbidden; version 00 has four parts; ids of zeros mean nothing.
    if version == "ff" or (version == "00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Presented(trace_id, span_id, bool(int(flags, 16) & 1))


def trace_context(header: str | None, rng: Random, sampled_from: int = NEVER) -> TraceContext:
    """A new trace, linked to the caller's where it named one. Draws from `sampled_from` on are sampled at its head."""
    bits = rng.getrandbits(192)
    fresh = f"{bits:048x}"
    sampled = (bits >> 64) & _MASK >= sampled_from
    if header is None or (named := presented(header)) is None:
        return TraceContext(fresh[:32], fresh[32:], None, sampled)
    return TraceContext(fresh[:32], fresh[32:], None, sampled, named[:2])


def gone_on_with(trace: TraceContext, headers: CIMultiDictProxy[str], sampled_from: int = NEVER) -> TraceContext:
    """`trace` as a part of the trace that a trusted caller named; its flag counts, and so does the draw on its id."""
    header = headers.get(TRACEPARENT)
    named = None if header is None else presented(header)
    if named is None:
        return trace
    sampled = named.sampled or draw_of(named.trace_id) >= sampled_from
    return replace(trace, trace_id=named.trace_id, parent_id=named.span_id, sampled=sampled, linked=None)


def draw_of(trace_id: str) -> int:
    """What samplers draw from: the same for all who see this trace."""
    return int(trace_id[-14:], 16)


def sampled_from(ratio: float) -> int:
    """The least draw that a share of traces is kept from, by OpenTelemetry's rule of consistent sampling."""
    return round((1.0 - ratio) * NEVER)


def traceparent(trace: TraceContext, attempt: int) -> str:
    """The header for an upstream of one's own: its parent is the span of attempt number `attempt`."""
    return f"00-{trace.trace_id}-{attempt_span_id(trace, attempt)}-{'01' if trace.sampled else '00'}"


def traceresponse(trace: TraceContext) -> str:
    """The header by which a caller finds its call's trace (W3C Trace Context, level 2). It may be kept all the same
    where the flag says no: what becomes of a call is not known when its head goes out.
    """
    return f"00-{trace.trace_id}-{trace.span_id}-{'01' if trace.sampled else '00'}"


def trace_headers(call: Call, attempt: int) -> tuple[tuple[str, str], ...]:
    """What an upstream of one's own is told. A caller's `tracestate` belongs to its trace, and goes with that only."""
    trace = call.trace
    told = ((str(TRACEPARENT), traceparent(trace, attempt)),)
    state = trace_state(call.headers) if trace.parent_id is not None else ""
    return (*told, (str(TRACESTATE), state)) if state else told


def trace_state(headers: CIMultiDictProxy[str]) -> str:
    """The caller's `tracestate` in one line; "" where there is none, or where it breaks W3C's rules."""
    members = [one.strip(" \t") for line in headers.getall(TRACESTATE, ()) for one in line.split(",")]
    members = [one for one in members if one]
    whole = ",".join(members)
    if len(members) > _MEMBERS_MAX or len(whole) > _HEADER_CHARS_MAX:
        return ""
    keys = {one.partition("=")[0] for one in members}
    is_good = len(keys) == len(members) and all(_MEMBER.fullmatch(one) for one in members)
    return whole if is_good else ""


def attempt_span_id(trace: TraceContext, attempt: int) -> str:
    """The span id of an attempt: computed from the call's, so that nothing needs storing on the path."""
    return f"{(int(trace.span_id, 16) + attempt) % (1 << 64) or 1:016x}"


def stage_span_id(trace: TraceContext, index: int) -> str:
    """The span id of a stage, likewise, on the other side of the call's own."""
    return f"{(int(trace.span_id, 16) - 1 - index) % (1 << 64) or _MASK:016x}"
