"""The usual hit of a cache settled in one pass, as `usual_calls` does it with what an upstream answered: a kept answer
that was found by its question's words, all of which went out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.records.ledger_rows import ledger_rows
from gateway.records.origins import ANYWHERE
from gateway.records.request_log import request_event
from gateway.records.settlement import settle
from gateway.records.usual_cache import cache_kind
from gateway.records.usual_lines import hit_template_of, hit_values_of
from gateway.state.ledger.schema import FROM_CACHE, LedgerRow

if TYPE_CHECKING:
    from gateway.call import Cached, Call
    from gateway.records.call_metrics import CallMetrics, RequestMeters
    from gateway.records.origins import Origins
    from gateway.records.usual_cache import CacheKind
    from gateway.signals.cache_metrics import CacheMeters
    from policies.vocabulary import Principal, Route

Key = tuple["str | int | bool | CacheKind | None", ...]

MOST_KINDS: Final = 512
_NOTHING: Final = (0,) * 11
_BESIDE: Final = (0, 0, None, None, None, None)


class Kind(NamedTuple):
    """What hits of one kind share. `held` keeps alive what the kind's key names by identity."""

    held: tuple[Route, Principal]
    who_and_where: tuple[str | None, ...]
    owner: tuple[str | None, str | None]
    level: str
    template: str
    requests: RequestMeters
    cache: CacheMeters


class UsualHits:
    def __init__(self, metrics: CallMetrics, origins: Origins = ANYWHERE) -> None:
        self._metrics = metrics
        self._origins = origins
        self._kinds: dict[Key, Kind] = {}

    def take(self, call: Call) -> tuple[LedgerRow, bytes] | None:
        """The hit's row and line, with the metrics told; None, and nobody told, for a call that is no usual hit."""
        cached = call.cached
        if cached is None or not _is_usual(call, cached):
            return None
        about = cache_kind(cached)
        if about is None:
            return None
        key = _key(call, cached, about)
        kind = self._kinds.get(key) or self._learn(key, call)
        if kind is None:
            return None
        whole_s = max(0.0, call.ended_s - call.received_s)
        line = (kind.template % hit_values_of(call, whole_s, self._origins)).encode()
        told = _row(kind, call, cached, whole_s), line
        kind.requests.add(whole_s, whole_s)
        kind.cache.add(cached)
        return told

    def _learn(self, key: Key, call: Call) -> Kind | None:
        """What the general form makes of `call`, as the form for its kind."""
        settled = settle(call)
        row = ledger_rows(settled)[0]
        route, principal, meters = call.route, call.principal, self._metrics.cache_meters_of(call)
        if route is None or principal is None or meters is None or row.cache_level is None:
            return None
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        kind = self._kinds[key] = Kind(
            (route, principal),
            row[3:14],
            (row.org, row.tags),
            row.cache_level,
            hit_template_of(request_event(settled, self._origins)),
            self._metrics.hit_meters_of(settled),
            meters,
        )
        return kind


def _is_usual(call: Call, cached: Cached) -> bool:
    if call.status >= 400 or call.error_code is not None or call.cancelled or cached.bypass is not None:
        return False
    if call.admitted is not None and call.admitted.waited_s:
        return False
    is_known = call.route is not None and call.principal is not None and call.replay_of is None
    return cached.level is not None and is_known and not call.attempts


def _key(call: Call, cached: Cached, about: CacheKind) -> Key:
    """All that row, line and metrics are told of a hit besides its numbers."""
    request = call.request
    return (
        id(call.route),
        id(call.principal),
        request.model,
        request.endpoint._value_,
        request.stream,
        cached.deployment,
        cached.model,
        call.headers.get("User-Agent"),
        call.admitted is None,
        bool(call.marks),
        about,
    )


def _row(kind: Kind, call: Call, cached: Cached, whole_s: float) -> LedgerRow:
    used = cached.saved
    return LedgerRow._make(
        (
            call.id,
            FROM_CACHE,
            call.received_at_ns // 1_000_000,
            *kind.who_and_where,
            call.status,
            None,
            +call.request.stream,
            0,
            *_NOTHING,
            None,
            None,
            None,
            None,
            round(whole_s * 1000),
            None,
            *kind.owner,
            call.admitted.hit_charges() if call.admitted is not None else None,
            None,
            kind.level,
            used.cost_nanousd if used is not None else None,
            used.input_tokens + used.output_tokens if used is not None else None,
            *_BESIDE,
        )
    )
