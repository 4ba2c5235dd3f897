"""The log line of a call as most calls are: one attempt that went well and has a cost, filled into a prepared template.

A template is the general line of the first such call of its kind with its numbers cut out, so it cannot say anything
else than that line would; filling it in costs half of what building and encoding the event does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.records.usual_cache import cache_kind, cache_numbers, cut_out_cache
from gateway.signals.cut_out import MS, NUMBER, TEXT, template_from
from gateway.signals.logs import timestamp
from gateway.signals.telemetry import NANO, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.records.request_log import RequestEvent
    from gateway.records.settlement import SettledCall, Settlement
    from gateway.records.usual_cache import CacheKind

Kind = tuple["str | bool | CacheKind | None", ...]

CutOut = tuple[object, msgspec.Raw, tuple[str, ...]]

MOST_TEMPLATES: Final = 512


class UsualLines:
    """`make_event` says what the general line of a call says."""

    def __init__(self, make_event: Callable[[SettledCall], RequestEvent]) -> None:
        self._make_event = make_event
        self._templates: dict[Kind, str] = {}

    def line(self, settled: SettledCall) -> bytes | None:
        """The line, ready for the sink; None for a call that is not as most are."""
        attempts = settled.attempts
        if settled.outcome is not Outcome.OK or len(attempts) != 1:
            return None
        kind = _kind(settled, attempts[0])
        if kind is None:
            return None
        template = self._templates.get(kind) or self._prepare(kind, settled)
        return (template % _numbers(settled, attempts[0])).encode()

    def _prepare(self, kind: Kind, settled: SettledCall) -> str:
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        template = self._templates[kind] = template_of(self._make_event(settled))
        return template


def _kind(settled: SettledCall, settlement: Settlement) -> Kind | None:
    """Everything in the line that is not cut out of its template. None without a cost, or an answer's tally, and
    where an engine of ours, or a cache, has more to tell.
    """
    call, attempt, cost = settled.call, settlement.attempt, settlement.cost
    tally, principal, request, route = attempt.tally, call.principal, call.request, call.route
    if cost is None or tally is None or principal is None or route is None:
        return None
    cached = cache_kind(call.cached)
    if tally.engine is not None or cached is None:
        return None
    return (
        route.name,
        request.model,
        request.endpoint._value_,
        request.stream,
        principal.team,
        principal.key_id,
        principal.key_name,
        attempt.deployment.provider,
        attempt.deployment.name,
        tally.model,
        tally.finish_reasons[0] if tally.finish_reasons else None,
        settlement.usage.estimated,
        cost.price.source,
        cost.price.as_of,
        call.headers.get("User-Agent"),
        cached,
    )


def _numbers(settled: SettledCall, settlement: Settlement) -> tuple[str | float, ...]:
    """What goes into the template, in the order of the event's fields."""
    call, usage, cost = settled.call, settlement.usage, settlement.cost
    assert cost is not None  # noqa: S101 - else there is no kind, and no template
    first_token_s = settlement.attempt.first_token_s
    upstream_ms = settlement.duration_s * 1000
    return (
        timestamp(call.received_at_ns / NANO + settled.duration_s),
        call.id,
        call.trace.trace_id,
        call.trace.span_id,
        call.status,
        settled.duration_s * 1000,
        settled.overhead_s * 1000,
        upstream_ms,
        "null" if first_token_s is None else f"{(first_token_s - call.received_s) * 1000:.2f}",
        call.request.body_bytes,
        call.sent_bytes,
        upstream_ms,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        cost.total_nanousd,
        cost.input_nanousd,
        cost.cached_input_nanousd,
        cost.cache_write_nanousd,
        cost.output_nanousd,
        *(() if call.cached is None else cache_numbers(call.cached)),
    )


def template_of(event: RequestEvent) -> str:
    """The event's line as a format string. `event` is spent."""
    tokens, cost = event.tokens, event.cost
    assert tokens is not None  # noqa: S101 - a call with a cost has all three
    assert cost is not None  # noqa: S101 - as above
    assert cost.components is not None  # noqa: S101 - as above
    cut_out = (
        *_of_call(event),
        (event.timing_ms, MS, ("upstream",)),
        (event.timing_ms, NUMBER, ("ttft",)),
        (event.attempts[0], MS, ("ms",)),
        (tokens, NUMBER, ("input", "cached_input", "cache_write", "output", "reasoning")),
        (cost, NUMBER, ("total_nano_usd",)),
        (cost.components, NUMBER, ("input", "cached_input", "cache_write", "output")),
    )
    return _written(event, cut_out)


def hit_template_of(event: RequestEvent) -> str:
    """The same of a call that a cache answered."""
    return _written(event, _of_call(event))


def _of_call(event: RequestEvent) -> tuple[CutOut, ...]:
    return (
        (event, TEXT, ("ts", "request_id", "trace_id", "span_id")),
        (event, NUMBER, ("status",)),
        (event.timing_ms, MS, ("total", "overhead")),
        (event.bytes, NUMBER, ("in_", "out")),
    )


def _written(event: RequestEvent, cut_out: tuple[CutOut, ...]) -> str:
    for owner, mark, names in cut_out:
        for name in names:
            setattr(owner, name, mark)
    if event.cache is not None:
        cut_out_cache(event.cache)
    return template_from(msgspec.json.encode(event)) + "\n"
