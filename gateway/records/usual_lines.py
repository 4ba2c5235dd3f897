"""The log line of a call as most calls are: one attempt that went well and has a cost, filled into a prepared template.

A template is the general line of the first such call of its kind with its numbers cut out, so it cannot say anything
else than that line would; filling it in costs half of what building and encoding the event does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.records.origins import ANYWHERE, quoted_network
from gateway.records.usual_cache import cache_kind, cache_numbers, cut_out_cache
from gateway.signals.cut_out import MS, NUMBER, TEXT, template_from
from gateway.signals.logs import timestamp
from gateway.signals.telemetry import NANO, Outcome
from policies.tariffs import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.base import Tally
    from gateway.call import Attempt, Call
    from gateway.records.origins import Origins
    from gateway.records.request_event import RequestEvent
    from gateway.records.settlement import SettledCall, Settlement
    from gateway.records.usual_cache import CacheKind
    from policies.tariffs import Price
    from policies.usage import Cost, Usage
    from policies.vocabulary import Deployment, Principal, Route

Kind = tuple["str | int | tuple[str, ...] | CacheKind | None", ...]

Values = tuple[str | float, ...]

CutOut = tuple[object, msgspec.Raw, tuple[str, ...]]

MOST_TEMPLATES: Final = 512
TOKENS: Final = ("input", "cached_input", "cache_write_5m", "cache_write_1h", "output", "reasoning")
PLAIN: Final = ("input", "output")
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class Numbers(NamedTuple):
    """What differs within a kind; durations are as settlement defines them."""

    usage: Usage
    cost: Cost
    total_nanousd: int
    whole_s: float
    overhead_s: float
    attempt_s: float


class Template(NamedTuple):
    """`held` keeps alive what the kind names by identity."""

    text: str
    plain: bool
    held: tuple[Route | None, Principal | None, Deployment, Price | None]


class UsualLines:
    """`make_event` says what the general line of a call says."""

    def __init__(self, make_event: Callable[[SettledCall], RequestEvent], origins: Origins = ANYWHERE) -> None:
        self._make_event = make_event
        self._origins = origins
        self._templates: dict[Kind, Template] = {}

    def line(self, settled: SettledCall) -> bytes | None:
        """The line, ready for the sink; None for a call that is not as most are."""
        attempts = settled.attempts
        if settled.outcome is not Outcome.OK or len(attempts) != 1:
            return None
        kind = _kind(settled, attempts[0])
        if kind is None:
            return None
        template, plain, _ = self._templates.get(kind) or self._prepare(kind, settled)
        settlement = attempts[0]
        assert settlement.cost is not None  # noqa: S101 - else there is no kind
        usage, cost = settlement.usage, settlement.cost
        times = settled.duration_s, settled.overhead_s, settlement.duration_s
        numbers = _new(Numbers, (usage, cost, cost.total_nanousd, *times))
        values = values_of(settled.call, settlement.attempt, numbers, self._origins, plain=plain)
        return (template % values).encode()

    def _prepare(self, kind: Kind, settled: SettledCall) -> Template:
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        call, settlement = settled.call, settled.attempts[0]
        price = None if settlement.cost is None else settlement.cost.price
        held = (call.route, call.principal, settlement.attempt.deployment, price)
        plain = settlement.cost is None or is_plain(settlement.usage, settlement.cost)
        text = template_of(self._make_event(settled), plain=plain)
        template = self._templates[kind] = Template(text, plain, held)
        return template


def _kind(settled: SettledCall, settlement: Settlement) -> Kind | None:
    """Everything in the line that is not cut out of its template. None without a cost, or an answer's tally, and
    where an engine of ours, or a cache, has more to tell or has asked by itself.
    """
    call, attempt, cost = settled.call, settlement.attempt, settlement.cost
    tally, request, admitted = attempt.tally, call.request, call.admitted
    if cost is None or tally is None or call.principal is None or call.route is None:
        return None
    cached = cache_kind(call.cached)
    if tally.engine is not None or cached is None or (admitted is not None and admitted.waited_s):
        return None
    if call.made_for is not None:
        return None
    return (
        id(call.route),
        id(call.principal),
        id(attempt.deployment),
        id(cost.price),
        request.model,
        request.endpoint._value_,
        request.stream,
        tally.model,
        finish_of(tally),
        settlement.usage.estimated,
        is_plain(settlement.usage, cost),
        call.headers.get("User-Agent"),
        admitted is None,
        bool(call.marks),
        cached,
    )


def finish_of(tally: Tally) -> str | tuple[str, ...] | None:
    """How the answer ended, as far as a line tells it: each choice may have ended in its own way."""
    reasons = tally.finish_reasons
    if len(reasons) == 1:
        return reasons[0]
    return tuple(reasons) if reasons else None


def is_plain(usage: Usage, cost: Cost) -> bool:
    """Whether there is but input and output to tell of; the zeros of the rest are part of the template then."""
    return not (
        usage.cached_input_tokens
        or usage.cache_write_tokens
        or usage.reasoning_tokens
        or cost.request_nanousd
        or cost.tool_nanousd
        or usage.details is not None
    )


def values_of(call: Call, attempt: Attempt, numbers: Numbers, origins: Origins, *, plain: bool) -> Values:
    """What goes into the template, in the order of the event's fields."""
    usage, cost, total_nanousd, whole_s, overhead_s, attempt_s = numbers
    trace, request, marks, cached, received_s = call.trace, call.request, call.marks, call.cached, call.received_s
    first_token_s, attempt_ms = attempt.first_token_s, attempt_s * 1000
    used: tuple[int, ...]
    if plain:
        used = usage.input_tokens, usage.output_tokens, total_nanousd, cost.input_nanousd, cost.output_nanousd
    else:
        used = _all_used(usage, cost)
    return (
        timestamp(call.received_at_ns / NANO + whole_s),
        call.id,
        trace.trace_id,
        trace.span_id,
        origins.quoted_end_user(request),
        call.status,
        attempt_ms,
        *used,
        whole_s * 1000,
        overhead_s * 1000,
        *(((marks[0][1] - received_s) * 1000,) if marks else ()),
        "null" if first_token_s is None else f"{(first_token_s - received_s) * 1000:.2f}",
        attempt_ms,
        *(() if cached is None else cache_numbers(cached)),
        request.body_bytes,
        call.sent_bytes,
        quoted_network(call.peer()),
    )


def _all_used(usage: Usage, cost: Cost) -> tuple[int, ...]:
    hour = 0 if usage.details is None else usage.details.cache_write_1h_tokens
    return (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens - hour,
        hour,
        usage.output_tokens,
        usage.reasoning_tokens,
        cost.total_nanousd,
        *cost[:4],
        cost.request_nanousd,
        cost.tool_nanousd,
    )


def hit_values_of(call: Call, whole_s: float, origins: Origins) -> Values:
    """The same for `hit_template_of`."""
    trace, marks, cached = call.trace, call.marks, call.cached
    assert cached is not None  # noqa: S101 - a hit has one
    used = cached.saved
    return (
        timestamp(call.received_at_ns / NANO + whole_s),
        call.id,
        trace.trace_id,
        trace.span_id,
        origins.quoted_end_user(call.request),
        call.status,
        *(() if used is None or used.cost_nanousd is None else (used.cost_nanousd,)),
        whole_s * 1000,
        whole_s * 1000,
        *(((marks[0][1] - call.received_s) * 1000,) if marks else ()),
        *cache_numbers(cached),
        call.request.body_bytes,
        call.sent_bytes,
        quoted_network(call.peer()),
    )


def template_of(event: RequestEvent, *, plain: bool) -> str:
    """The event's line as a format string, of a call that is plain or is not. `event` is spent."""
    tokens, cost = event.tokens, event.cost
    assert tokens is not None  # noqa: S101 - a call with a cost has all three
    assert cost is not None  # noqa: S101 - as above
    assert cost.components is not None  # noqa: S101 - as above
    tokens_told, parts_told = (PLAIN, PLAIN) if plain else (TOKENS, COMPONENTS)
    cut_out = (
        *_of_call(event),
        (event.attempts[0], MS, ("ms",)),
        (tokens, NUMBER, tokens_told),
        (cost, NUMBER, ("total_nano_usd",)),
        (cost.components, NUMBER, parts_told),
        (event.timing_ms, NUMBER, ("ttft",)),
        (event.timing_ms, MS, ("upstream",)),
    )
    return _written(event, cut_out)


def hit_template_of(event: RequestEvent) -> str:
    """The same of a call that a cache answered."""
    saved = event.cost is not None and event.cost.saved_nano_usd is not None
    return _written(event, (*_of_call(event), *(((event.cost, NUMBER, ("saved_nano_usd",)),) if saved else ())))


def _of_call(event: RequestEvent) -> tuple[CutOut, ...]:
    return (
        (event, TEXT, ("ts", "request_id", "trace_id", "span_id")),
        (event, NUMBER, ("end_user_hash", "status", "ip_trunc")),
        (event.timing_ms, MS, ("total", "overhead")),
        (event.timing_ms, MS, ("auth",) if event.timing_ms.auth is not None else ()),
        (event.bytes, NUMBER, ("in_", "out")),
    )


def _written(event: RequestEvent, cut_out: tuple[CutOut, ...]) -> str:
    for owner, mark, names in cut_out:
        for name in names:
            setattr(owner, name, mark)
    if event.cache is not None:
        cut_out_cache(event.cache)
    return template_from(msgspec.json.encode(event)) + "\n"
