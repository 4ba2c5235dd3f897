"""The usual call settled in one pass: a whole answer at the first attempt, with its usage and a price.

Settling has a general form: settlement, ledger row, log line, metrics, one after the other. What that form makes of the
first call of a kind is kept here with its numbers cut out, and for the calls after it only the numbers are filled in.
That takes half the time, and time counts: all of it is taken from calls that are under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.records.ledger_rows import details_of, ledger_rows
from gateway.records.origins import ANYWHERE
from gateway.records.request_log import request_event
from gateway.records.settlement import is_plausible, price_of, settle
from gateway.records.usual_cache import cache_kind
from gateway.records.usual_lines import Numbers, finish_of, is_plain, template_of, values_of
from gateway.state.ledger.schema import LedgerRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Attempt, Call
    from gateway.records.call_metrics import AttemptMeters, CallMetrics, CostMeters, RequestMeters
    from gateway.records.origins import Origins
    from gateway.records.usual_cache import CacheKind
    from gateway.signals.cache_metrics import CacheMeters
    from policies.tariffs import Price
    from policies.usage import Cost, Usage
    from policies.vocabulary import Deployment, Principal, Route

Key = tuple["str | int | tuple[str, ...] | CacheKind | None", ...]

MOST_KINDS: Final = 512
_NOT_CACHED: Final = (None, None, None)
_NO_DETAILS: Final = (None, None)
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class Kind(NamedTuple):
    """What calls of one kind share. `held` keeps alive what the kind's key names by identity."""

    held: tuple[Route, Deployment, Principal]
    who_and_where: tuple[str | None, ...]
    price: tuple[str | None, ...]
    owner: tuple[str | None, str | None]
    template: str
    cache: CacheMeters | None
    requests: RequestMeters
    attempts: AttemptMeters
    costs: CostMeters


class UsualCalls:
    """`note_price` hears of every price that the rows name."""

    def __init__(self, metrics: CallMetrics, note_price: Callable[[Price], None], origins: Origins = ANYWHERE) -> None:
        self._metrics = metrics
        self._origins = origins
        self._note_price = note_price
        self._kinds: dict[Key, Kind] = {}

    def take(self, call: Call) -> tuple[LedgerRow, bytes] | None:
        """The call's row and line, with the metrics told; None, and nobody told, for a call that is not usual."""
        attempt = _usual_attempt(call)
        usage = _usual_usage(attempt) if attempt is not None else None
        cached = cache_kind(call.cached)
        if attempt is None or usage is None or cached is None:
            return None
        cost, _ = price_of(usage, attempt)
        if cost is None:
            return None
        attempt.usage, attempt.cost = usage, cost
        plain = is_plain(usage, cost)
        key = _key(call, attempt, cost, (plain, cached))
        kind = self._kinds.get(key) or self._learn(key, call)
        whole_s, overhead_s, attempt_s = _times(call, attempt)
        numbers = _new(Numbers, (usage, cost, cost.total_nanousd, whole_s, overhead_s, attempt_s))
        values = values_of(call, attempt, numbers, self._origins, plain=plain)
        told = _row(kind, call, attempt, numbers), (kind.template % values).encode()
        kind.requests.add(whole_s, overhead_s)
        kind.attempts.add(attempt_s, usage)
        kind.costs.add(cost)
        if kind.cache is not None and call.cached is not None:
            kind.cache.add(call.cached)
        return told

    def _learn(self, key: Key, call: Call) -> Kind:
        """What the general form makes of `call`, as the form for its kind."""
        settled = settle(call)
        settled.note_prices(self._note_price)
        row = ledger_rows(settled)[0]
        route, principal = call.route, call.principal
        assert route is not None  # noqa: S101 - usual calls have both
        assert principal is not None  # noqa: S101 - as above
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        kind = self._kinds[key] = Kind(
            (route, call.attempts[0].deployment, principal),
            row[3:14],
            (row.price_id, row.price_source, row.price_as_of),
            (row.org, row.tags),
            template_of(request_event(settled, self._origins), plain=key[0] is True),
            self._metrics.cache_meters_of(call),
            *self._metrics.meters_of(settled),
        )
        return kind


def _usual_attempt(call: Call) -> Attempt | None:
    if call.status >= 400 or call.error_code is not None or call.cancelled or call.request.stream:
        return None
    if call.made_for is not None:  # each is told with the request that it was made for
        return None
    if call.admitted is not None and call.admitted.waited_s:
        return None
    if call.cached is not None and call.cached.is_hit:
        return None
    if call.route is None or call.principal is None or len(call.attempts) != 1:
        return None
    attempt = call.attempts[0]
    ended_well = attempt.failure is None and attempt.stopped is None and not attempt.cancelled
    return attempt if ended_well and attempt.ended_s is not None and attempt.first_token_s is None else None


def _usual_usage(attempt: Attempt) -> Usage | None:
    """As the upstream reported it: not counted by the gateway, and nothing to correct."""
    tally = attempt.tally
    if tally is None or tally.usage is None or attempt.usage is not None or tally.usage.estimated:
        return None
    if tally.engine is not None:  # it has more numbers, and milliseconds enough for them
        return None
    usage = tally.usage
    if tally.text and not usage.input_tokens and not usage.output_tokens:
        return None
    if usage.details is not None and usage.details.corrected:
        return None
    return usage if is_plausible(usage) else None


def _key(call: Call, attempt: Attempt, cost: Cost, form: tuple[bool, CacheKind]) -> Key:
    """All that row, line and metrics are told of a call besides its numbers."""
    tally, request = attempt.tally, call.request
    return (
        *form,
        cost.price.id,
        id(call.route),
        id(attempt.deployment),
        id(call.principal),
        request.model,
        request.endpoint._value_,
        tally.model if tally is not None else None,
        finish_of(tally) if tally is not None else None,
        call.headers.get("User-Agent"),
        call.admitted is None,
        bool(call.marks),
    )


def _times(call: Call, attempt: Attempt) -> tuple[float, float, float]:
    ended_s = attempt.ended_s or 0.0
    overhead_s = attempt.started_s - call.received_s + (call.ended_s - ended_s)
    return max(0.0, call.ended_s - call.received_s), max(0.0, overhead_s), max(0.0, ended_s - attempt.started_s)


def _row(kind: Kind, call: Call, attempt: Attempt, numbers: Numbers) -> LedgerRow:
    usage, cost = numbers.usage, numbers.cost
    return _new(LedgerRow, (
        call.id,
        attempt.number,
        call.received_at_ns // 1_000_000 + round((attempt.started_s - call.received_s) * 1000),
        *kind.who_and_where,
        call.status,
        None,
        0,
        0,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        0,
        numbers.total_nanousd,
        *cost[:4],
        None,
        *kind.price,
        round(numbers.attempt_s * 1000),
        None,
        *kind.owner,
        call.admitted.charges(attempt) if call.admitted is not None else None,
        None,
        *_NOT_CACHED,
        *cost[5:],
        *(_NO_DETAILS if usage.details is None else details_of(usage)),
        attempt.gpu_us,
    ))  # fmt: skip
