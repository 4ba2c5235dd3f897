"""The headers of every answer to a call: its id, its trace, which way it went, what is left of its limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.caching.told import CACHE_HEADER, told
from gateway.cost_told import cost_headers, cost_lines
from gateway.explaining.header import DECISION_HEADER, decision_headers
from gateway.server import render_head
from gateway.signals.tracing import TRACERESPONSE, traceresponse

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.server import Headers
    from gateway.upstream import Answer

JSON: Final = ("content-type", "application/json")
REQUEST_ID: Final = "x-request-id"
# Ready for look-up in whatever case a header came.
DECISION: Final = istr(DECISION_HEADER)


def answer_head(call: Call, answer: Answer, *, close: bool) -> bytes:
    """What `render_head` makes of `call_headers` for a whole answer, at a third of its cost."""
    route, attempt, cached = call.route, call.decisive, call.cached
    is_usual = attempt is not None or (cached is not None and call.replay_of is None)
    if route is None or not is_usual or answer.headers or close or DECISION in call.headers:
        headers = [JSON, ("content-length", str(call.sent_bytes)), *call_headers(call), *answer.headers]
        return render_head(200, headers, close=close)
    limits = "" if call.admitted is None else call.admitted.header_lines(time.time())
    way = "" if cached is None else f"{CACHE_HEADER}: {told(cached)}\r\n"
    if attempt is not None:
        way += f"x-pointsman-deployment: {attempt.deployment.name}\r\nx-pointsman-attempts: {len(call.attempts)}\r\n"
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {call.sent_bytes}\r\n"
        f"x-request-id: {call.id}\r\n{TRACERESPONSE}: {traceresponse(call.trace)}\r\n"
        f"x-pointsman-route: {route.name}\r\n"
        f"{way}{cost_lines(call)}{limits}\r\n"
    ).encode("latin-1", "replace")


def call_headers(call: Call) -> Headers:
    return [
        (REQUEST_ID, call.id),
        (TRACERESPONSE, traceresponse(call.trace)),
        *way_headers(call),
        *cost_headers(call),
        *limit_headers(call),
    ]


def limit_headers(call: Call) -> Headers:
    """What is left of the limits that this call came under."""
    return [] if call.admitted is None else call.admitted.headers(time.time())


def way_headers(call: Call) -> Headers:
    """Which way a call went, as far as it came."""
    return [*_way(call), *decision_headers(call)] if DECISION in call.headers else _way(call)


def _way(call: Call) -> Headers:
    return _went(call) if call.cached is None else [*_went(call), (CACHE_HEADER, told(call.cached))]


def _went(call: Call) -> Headers:
    route, attempt = call.route, call.decisive
    if call.replay_of is not None:
        way = [("idempotency-replayed", "true"), ("x-pointsman-original-request", call.replay_of)]
        return way if route is None else [*way, ("x-pointsman-route", route.name)]
    if route is None:
        return []
    if attempt is None:
        return [("x-pointsman-route", route.name)]
    return [
        ("x-pointsman-route", route.name),
        ("x-pointsman-deployment", attempt.deployment.name),
        ("x-pointsman-attempts", str(len(call.attempts))),
    ]
