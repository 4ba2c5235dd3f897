"""GET /v1/engine of a stand-alone engine: how it stands, for gateways that call it. A key opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.answer_heads import JSON
from gateway.remote_engine import Told
from gateway.server import Outbound, render_head
from gateway.stages.authenticate import identify
from gateway.version import VERSION
from policies.choosing import Line
from policies.matching import visible_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.generation import Generation
    from gateway.server import Inbound

PATH: Final = "/engine"


class EngineView:
    """Answers for the one engine that a stand-alone process serves."""

    def __init__(self, current: Callable[[], Generation]) -> None:
        self._current = current

    async def __call__(self, inbound: Inbound, request_id: str) -> Outbound:
        generation = self._current()
        principal = identify(inbound.headers, generation, inbound.peer)
        models = visible_models(generation.index, principal)
        shown = {"object": "engine", "version": VERSION, "models": list(models)}
        body = msgspec.json.encode(shown | msgspec.to_builtins(told_by(generation)))
        headers = [
            JSON,
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            ("x-request-id", request_id),
        ]
        return Outbound(inbound, render_head(200, headers, close=not inbound.keep_alive) + body)


def told_by(generation: Generation) -> Told:
    """What the first of the upstreams tells: all of them are one engine's."""
    upstream = next(iter(generation.upstreams.values()))
    line = upstream.line or Line()
    told = Told(upstream.ready, line.queued, line.slots, line.running, line.wait_s, is_cold=line.is_cold)
    return msgspec.structs.replace(told, live=dict(upstream.describe()))
