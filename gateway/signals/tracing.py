"""Trace identity on the path, and which calls' traces are kept. Spans are built later, off the path, by `span_export`.

A full SDK span costs more CPU than the rest of a request; a trace that is not kept costs a dozen comparisons here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.call import TraceContext
from gateway.signals.telemetry import Outcome

if TYPE_CHECKING:
    from random import Random

    from gateway.records.settlement import SettledCall

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_ERRORS = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.GATEWAY_ERROR})


def trace_context(traceparent: str | None, rng: Random) -> TraceContext:
    """A fresh span in the caller's trace, or in a new one where the W3C header is absent or malformed."""
    if traceparent is None:
        fresh = f"{rng.getrandbits(192):048x}"
        return TraceContext(fresh[:32], fresh[32:], None, sampled=False)
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None:
        return trace_context(None, rng)
    version, trace_id, parent_id, flags, more = match.groups()
    if not _is_usable(version, trace_id, parent_id, more):
        return trace_context(None, rng)
    return TraceContext(trace_id, f"{rng.getrandbits(64):016x}", parent_id, sampled=bool(int(flags, 16) & 1))


def _is_usable(version: str, trace_id: str, parent_id: str, more: str | None) -> bool:
    """Version ff is forbidden; version 00 has four parts, later ones may have more; ids of zeros mean nothing."""
    is_version_known = version != "ff" and not (version == "00" and more is not None)
    return is_version_known and trace_id != _NO_TRACE and parent_id != _NO_SPAN


def traceparent(trace: TraceContext, attempt: int) -> str:
    """The header for an upstream of one's own: its parent is the span of attempt number `attempt`."""
    return f"00-{trace.trace_id}-{attempt_span_id(trace, attempt)}-{'01' if trace.sampled else '00'}"


def attempt_span_id(trace: TraceContext, attempt: int) -> str:
    """The span id of an attempt: computed from the call's, so that nothing needs storing on the path."""
    return f"{(int(trace.span_id, 16) + attempt) % (1 << 64) or 1:016x}"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Keeps the traces of a share of all calls, and of every error, every fallback or retry, and every slow call.

    The draw is on our own span id, so a caller's trace id cannot buy a place; its flag does with `trust_callers` only.
    """

    ratio: float = 0.0
    slow_s: float = 30.0
    trust_callers: bool = False

    def keeps(self, settled: SettledCall) -> bool:
        if settled.outcome in _ERRORS or len(settled.attempts) > 1 or settled.duration_s >= self.slow_s:
            return True
        trace = settled.call.trace
        if self.trust_callers and trace.sampled:
            return True
        return self.ratio > 0 and int(trace.span_id[:8], 16) < self.ratio * (1 << 32)
