"""Where a call stands in an engine's line: by who sent it, or by what a gateway in front says of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.llama_cpp_job import Place
from adapters.llama_cpp_place import decode_place
from policies.queueing import flow_of

if TYPE_CHECKING:
    from gateway.upstream import Exchange


def place_of(exchange: Exchange, patience_s: float) -> Place:
    """Among those of its team, with its share and its priority; a gateway's calls each where it says, within what is
    the gateway's. Raises `InvalidRequest`.
    """
    own = _own_place(exchange, max(0.0, patience_s))
    if exchange.told_place is None:
        return own
    told = decode_place(exchange.told_place)
    return msgspec.structs.replace(
        told,
        flow=f"{own.flow}/{told.flow}",
        scope=f"{own.scope}/{told.scope}",
        patience_s=min(own.patience_s, told.patience_s),
    )


def _own_place(exchange: Exchange, patience_s: float) -> Place:
    caller = exchange.caller
    if caller is None:
        return Place(patience_s=patience_s)
    weight = 1.0 if exchange.weight_of is None else exchange.weight_of(caller)
    return Place(flow_of(caller), weight, int(caller.priority), caller.org, patience_s)


def patience_s(exchange: Exchange, now: float) -> float:
    """How long from now a call waits for its turn: a stream until its first token is due, another until all is over."""
    left_s = exchange.deadline_s - now
    return max(0.0, min(left_s, exchange.timeouts.first_token_s) if exchange.request.stream else left_s)
