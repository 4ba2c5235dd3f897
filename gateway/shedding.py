"""The door: who is let in while the gateway has more to do than it can, and the refusal that costs next to nothing.

A refused call is not read, recorded or logged: at three times what the gateway can do, two of three calls are refused,
and all the time that takes is missing for the third. They are counted, and the log says when it begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from random import Random
from typing import TYPE_CHECKING, Final

from adapters.openai_errors import WireError, error_body
from gateway.errors import RequestError
from gateway.server import render_head
from gateway.signals import limit_telemetry
from gateway.stages.authenticate import API_KEY, AUTHORIZATION, X_API_KEY, identify
from policies.route_rules import Priority
from policies.shedding import AT_EASE, Look, is_full, observe, sheds
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from multidict import CIMultiDictProxy

    from gateway.generation import Generation
    from gateway.lifecycle import Lifecycle
    from gateway.signals.metrics import Registry
    from policies.route_rules import ShedRules

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.05
RETRY_AFTER_S: Final = range(1, 6)
KNOWN_MAX: Final = 1_024
CODE: Final = "overloaded"
MESSAGE: Final = "The gateway has more to do than it can. Try again in a moment."
_ID: Final = "req_" + "0" * 28


class Door:
    """Looks at the event loop twenty times a second; `is_shut` is false as long as everybody is let in."""

    def __init__(self, current: Callable[[], Generation], lifecycle: Lifecycle, registry: Registry) -> None:
        self._current = current
        self._lifecycle = lifecycle
        self._rng = Random(secrets.randbits(64))  # noqa: S311 - ids must be unique, not secret
        self._state = AT_EASE
        self._came = [0] * len(Priority)
        self._refused = [0] * len(Priority)
        self._refused_before = 0
        self._priorities: dict[str, Priority] = {}
        self._refusals = [_prepared(seconds) for seconds in RETRY_AFTER_S]
        self._timer: asyncio.TimerHandle | None = None
        self._looked_s = self._worked_s = 0.0
        self._rules: ShedRules | None = None
        self._wait_s: Callable[[float], float] | None = None
        self.is_shut = False
        self.paths: Container[str] = frozenset(path for endpoint in Endpoint for path in endpoint.paths)
        registry.sample(limit_telemetry.SHED, lambda: [((p.name.lower(),), self._refused[p]) for p in Priority])
        registry.sample(limit_telemetry.SHEDDING, lambda: [((), 1.0 - self._state.share)])

    def watch(self, wait_s: Callable[[float], float]) -> None:
        """Ask this, too, how long connections wait to be taken; it is told the seconds since it was asked last."""
        self._wait_s = wait_s

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._looked_s, self._worked_s = time.monotonic(), time.thread_time()
        self._arm(loop, self._looked_s)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def turns_away(self, headers: CIMultiDictProxy[str], peer: Callable[[], str]) -> bytes | None:
        """The whole refusal of a call to an inference endpoint; None where it is let in."""
        priority = self._priority(headers, peer)
        self._came[priority] += 1
        rules = self._rules
        full = rules is not None and is_full(self._lifecycle.in_flight, priority, rules)
        if not full and not sheds(self._state, priority, self._rng.random()):
            return None
        self._refused[priority] += 1
        request_id = f"req_{time.time_ns() // 1_000_000:012x}{self._rng.getrandbits(64):016x}".encode()
        before, between, after = self._refusals[int(self._rng.random() * len(self._refusals))]
        return b"%b%b%b%b%b" % (before, request_id, between, request_id, after)

    def _priority(self, headers: CIMultiDictProxy[str], peer: Callable[[], str]) -> Priority:
        """By the key, remembered for a moment. Whoever has no good key goes first: it is refused anyway."""
        shown = headers.get(AUTHORIZATION) or headers.get(X_API_KEY) or headers.get(API_KEY) or ""
        known = self._priorities.get(shown)
        if known is None:
            try:
                known = identify(headers, self._current(), peer).priority
            except RequestError:
                return Priority.LOW
            if len(self._priorities) < KNOWN_MAX:
                self._priorities[shown] = known
        return known

    def _arm(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._timer = loop.call_at(now + LOOK_EVERY_S, self._look, loop, now + LOOK_EVERY_S)

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now = time.monotonic()
        rules = self._rules = self._current().config.server.shed.rules
        before, since_s, worked_s = self._state, now - self._looked_s, time.thread_time()
        busy = (worked_s - self._worked_s) / since_s if since_s > 0.0 else 0.0
        outside_s = 0.0 if self._wait_s is None else self._wait_s(since_s)
        look = Look(now - due_s, since_s, busy, self._lifecycle.in_flight, self._came, outside_s)
        self._state = observe(before, look, rules)
        self._looked_s, self._worked_s = now, worked_s
        if before.is_shedding or self._state.is_shedding:
            self._came = [0] * len(Priority)
            self._priorities.clear()
            self._tell(before.is_shedding)
        self.is_shut = self._state.is_shedding or rules.calls_max is not None
        self._arm(loop, now)

    def _tell(self, was_shedding: bool) -> None:  # noqa: FBT001 - one caller
        refused = sum(self._refused)
        if not was_shedding:
            self._refused_before = refused
            log.warning("more calls come than can be served: some are refused at the door, those of low priority first")
        elif not self._state.is_shedding:
            log.warning("all calls are let in again; %d were refused", refused - self._refused_before)


def _prepared(retry_after_s: int) -> tuple[bytes, bytes, bytes]:
    """A refusal around the two places of its request's id."""
    body = error_body(WireError(MESSAGE, "api_error", CODE, None, _ID))
    head = render_head(
        503,
        [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("retry-after", str(retry_after_s)),
            ("x-should-retry", "true"),
            ("x-request-id", _ID),
        ],
        close=False,
    )
    before, between, after = (head + body).split(_ID.encode())
    return before, between, after
