"""Writes each attempt down before it is sent: its ledger row as it is to stand if nothing more is ever heard of it.

What attempts of one kind share is kept, so that an intent costs the path a few numbers, one row and one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from gateway.scrubbing import printable
from gateway.settlement import price_of
from gateway.state.ledger_schema import LedgerRow
from policies.vocabulary import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.schema import InferenceRequest
    from gateway.call import Attempt, Call
    from policies.vocabulary import Deployment, Principal, Route

UNKNOWN: Final = "unknown"
MOST_KINDS: Final = 512

Key = tuple[int | str, ...]


class IntentLog(Protocol):
    def intend(self, row: LedgerRow) -> None: ...


class Kind(NamedTuple):
    """What attempts of one kind share. `held` keeps alive what the kind's key names by identity."""

    held: tuple[Route | None, Deployment, Principal | None]
    who_and_where: tuple[str | int | None, ...]
    org: str | None
    tags: str | None


def size_of(request: InferenceRequest) -> int:
    """No text has more tokens than bytes; nothing is cheaper to know."""
    return request.body_bytes


class Intents:
    """`bound` says how many tokens a request's input has at most, at once."""

    def __init__(self, ledger: IntentLog, bound: Callable[[InferenceRequest], int] = size_of) -> None:
        self._ledger = ledger
        self._bound = bound
        self._kinds: dict[Key, Kind] = {}

    def begin(self, call: Call, attempt: Attempt) -> None:
        """Write the attempt down. It may be sent once this has returned."""
        request, deployment = call.request, attempt.deployment
        key = (id(call.route), id(deployment), id(call.principal), request.model, request.endpoint._value_)
        kind = self._kinds.get(key) or self._learn(key, call, deployment)
        usage = Usage(self._bound(request), deployment.output_tokens_default or 0, estimated=True)
        cost, unpriced = price_of(usage, attempt)
        amounts = (cost.total_nanousd, *cost[:4]) if cost is not None else _NO_AMOUNTS
        price = cost.price if cost is not None else None
        # By `_make`, and in one go: to pass the columns by name costs more than all else here.
        self._ledger.intend(LedgerRow._make((
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
            *amounts,
            unpriced,
            *((price.id, price.source, price.as_of) if price is not None else _NO_PRICE),
            0,
            None,
            kind.org,
            kind.tags,
            None,
        )))  # fmt: skip

    def _learn(self, key: Key, call: Call, deployment: Deployment) -> Kind:
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        who, route = call.principal, call.route
        kind = self._kinds[key] = Kind(
            (route, deployment, who),
            (
                *((who.key_id, who.key_name, who.team, who.user) if who is not None else (None, None, None, None)),
                route.name if route is not None else None,
                call.request.endpoint._value_,
                printable(call.request.model),
                deployment.name,
                deployment.provider,
                deployment.model,
                UNKNOWN,
            ),
            who.org if who is not None else None,
            msgspec.json.encode(who.tags).decode() if who is not None and who.tags else None,
        )
        return kind


_NO_AMOUNTS: Final = (None, None, None, None, None)
_NO_PRICE: Final = (None, None, None)
