"""Writes each attempt down before it is sent: its ledger row as it is to stand if nothing more is ever heard of it.

Tokens are what was reserved for it, else their upper bound; the cost is what those cost at this deployment. What
attempts of one kind share is kept, so that an intent costs the path a few numbers, one row and one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from gateway.records.settlement import price_at_most
from gateway.scrubbing import printable
from gateway.state.ledger.schema import LedgerRow
from policies.estimate import output_default
from policies.tariffs import PriceSource
from policies.usage import Usage
from policies.usage_parts import TOKENS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.schema import InferenceRequest
    from gateway.call import Attempt, Call
    from gateway.limits.admitted import Admitted
    from policies.usage import Cost
    from policies.vocabulary import Deployment, Principal, Route

UNKNOWN: Final = "unknown"
MOST_KINDS: Final = 512
_NO_COST: Final = (None,) * 5
_NO_PRICE: Final = (None,) * 3
_NOT_MEASURED: Final = (None,) * 4
_NO_DETAILS: Final = (None,) * 3
_ESTIMATED: Final = PriceSource.ESTIMATED.value
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long

Key = tuple[int | str, ...]


class IntentLog(Protocol):
    def intend(self, row: LedgerRow) -> None: ...


class Kind(NamedTuple):
    """What attempts of one kind share. `held` keeps alive what the kind's key names by identity."""

    held: tuple[Route | None, Deployment, Principal | None]
    who_and_where: tuple[str | int | None, ...]
    org_and_tags: tuple[str | None, str | None]
    output_tokens_default: int


def size_of(request: InferenceRequest) -> int:
    """No text has more tokens than bytes, and nothing is cheaper to know."""
    return request.body_bytes


class Intents:
    """`bound` says at once how many tokens a request's input has at most, for calls that no limit weighs."""

    def __init__(self, ledger: IntentLog, bound: Callable[[InferenceRequest], int] = size_of) -> None:
        self._ledger = ledger
        self._bound = bound
        self._kinds: dict[Key, Kind] = {}

    def begin(self, call: Call, attempt: Attempt) -> None:
        """Write the attempt down, once what it needs is reserved. It may be sent when this has returned."""
        request, deployment, admitted = call.request, attempt.deployment, call.admitted
        key = (id(call.route), id(deployment), id(call.principal), request.model, request.endpoint._value_)
        kind = self._kinds.get(key) or self._learn(key, call, deployment)
        usage = self._usage(call, kind)
        cost, unpriced = price_at_most(usage, attempt)
        self._ledger.intend(_new(LedgerRow, (
            call.id,
            attempt.number,
            call.received_at_ns // 1_000_000 + round((attempt.started_s - call.received_s) * 1000),
            *kind.who_and_where,
            0,
            None,
            +request.stream,
            0,
            usage.input_tokens,
            0,
            0,
            usage.output_tokens,
            0,
            1,
            *(_NO_COST if cost is None else (cost.total_nanousd, *cost[:4])),
            unpriced,
            *_price(cost),
            0,
            None,
            *kind.org_and_tags,
            None if admitted is None else reserved(admitted, attempt),
            *_NOT_MEASURED,
            *(_NO_COST[:3] if cost is None else cost[5:]),
            *_NO_DETAILS,
        )))  # fmt: skip

    def _usage(self, call: Call, kind: Kind) -> Usage:
        request, admitted = call.request, call.admitted
        demand = admitted.demand if admitted is not None else None
        input_tokens = self._bound(request) if demand is None else demand.input_tokens
        if demand is not None and demand.output is not None:
            output_tokens = demand.output.tokens
        else:
            told = request.output_tokens_max or request.output_tokens_added
            output_tokens = request.generations * (kind.output_tokens_default if told is None else told)
        if input_tokens > TOKENS_MAX or output_tokens > TOKENS_MAX:
            # No answer that the gateway forwards comes near, whatever the caller asked for.
            input_tokens, output_tokens = min(input_tokens, TOKENS_MAX), min(output_tokens, TOKENS_MAX)
        return _new(Usage, (input_tokens, output_tokens, 0, 0, 0, True, None))

    def _learn(self, key: Key, call: Call, deployment: Deployment) -> Kind:
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        who, route, endpoint = call.principal, call.route, call.request.endpoint
        stated = (
            who.output_tokens_default if who is not None else None,
            route.output_tokens_default if route is not None else None,
            deployment.output_tokens_default,
        )
        kind = self._kinds[key] = Kind(
            (route, deployment, who),
            (
                *((who.key_id, who.key_name, who.team, who.user) if who is not None else (None,) * 4),
                route.name if route is not None else None,
                endpoint._value_,
                printable(call.request.model),
                deployment.name,
                deployment.provider,
                deployment.model,
                UNKNOWN,
            ),
            (
                who.org if who is not None else None,
                msgspec.json.encode(who.tags).decode() if who is not None and who.tags else None,
            ),
            output_default(endpoint, stated),
        )
        return kind


def reserved(admitted: Admitted, attempt: Attempt) -> str | None:
    """The calendar accounts that hold something for this attempt, with what they hold, as the ledger has them."""
    found = [
        (f"{holding.tenant}|{hold.account}", hold.window_s, hold.amount)
        for holding in admitted.holdings
        if holding.has_calendar and attempt in holding.attempts
        for hold in holding.holds
        if hold.window_s
    ]
    return msgspec.json.encode(found).decode() if found else None


def _price(cost: Cost | None) -> tuple[str | None, str | None, str | None]:
    return _NO_PRICE if cost is None else (cost.price.id, _ESTIMATED, cost.price.as_of)
