"""Where calls wait for their limits, on the routes that have a queue. Nothing here polls.

A line moves when something of a tenant's is given back (the store says so) and when the limit that is short has
refilled far enough (the store's denial said when). Who goes next is `policies.queueing`'s to decide.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from policies.limits import Denied, Granted
from policies.queueing import FairQueue, is_full, join, leave, must_line_up, retry_after_s, serve, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.limits import Answer
    from policies.queueing import Applicant, Entry
    from policies.route_rules import QueueRules

UNKNOWN_WAIT_S: Final = 1.0
PACE_MEMORY_S: Final = 10.0
RECHECK_S: Final = 30.0
"""Where only calls under way can make room, one may die with its gateway and never say so: a lease lasts this long."""
REFILL_MARGIN_S: Final = 0.002
"""A loop's timers count in milliseconds, and one that rings too early is denied again."""


class Claim(Protocol):
    """What a waiting call asks for. `short` names the accounts that a denial found wanting."""

    async def reserve(self) -> Answer: ...

    def give_back(self, granted: Granted) -> None:
        """The caller left in the very moment of the grant: nothing of it was used."""

    def short(self, denied: Denied) -> frozenset[str]: ...


class QueueRefusal(Exception):  # noqa: N818 - it says how the wait ended
    """No place, or no luck in time. `full` tells which; `retry_after_s` is when another try is worth it."""

    def __init__(self, *, full: bool, retry_after_s: float) -> None:
        super().__init__("the queue is full" if full else "waited too long")
        self.full = full
        self.retry_after_s = retry_after_s


class _Waiter(NamedTuple):
    claim: Claim
    granted: asyncio.Future[Granted]


class WaitingRoom:
    """One line per route. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    def is_empty(self, route: str) -> bool:
        return route not in self._lines

    def must_line_up(self, route: str, accounts: frozenset[str]) -> bool:
        """Whether a call would overtake one that waits; it must then ask for a place instead of reserving."""
        line = self._lines.get(route)
        return line is not None and must_line_up(line.queue, accounts)

    async def wait(
        self, route: str, rules: QueueRules, applicant: Applicant, claim: Claim, wait_s: float | None
    ) -> Granted:
        """What was reserved when the call's turn came. `wait_s` is what the limit said when it was asked first.

        Raises `QueueRefusal` when the line is full, when the limit says that `max_wait` will not do, or when it did
        not; and whatever the claim raises.
        """
        line = self._lines.setdefault(route, _Line(self._clock))
        try:
            return await line.wait(rules, applicant, claim, wait_s)
        finally:
            if not line.waiters and self._lines.get(route) is line:
                del self._lines[route]

    def freed(self, _tenant: str) -> None:
        """Something was given back: whoever is next may try."""
        for line in self._lines.values():
            line.move()

    def depths(self) -> dict[str, int]:
        """How many wait on each route."""
        return {route: len(line.waiters) for route, line in self._lines.items()}


class _Line:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.queue = FairQueue()
        self.waiters: dict[int, _Waiter] = {}
        self._clock = clock
        self._pace = _Pace(clock())
        self._moving: asyncio.Task[None] | None = None
        self._again = False
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, rules: QueueRules, applicant: Applicant, claim: Claim, wait_s: float | None) -> Granted:
        if is_full(self.queue, rules):
            raise QueueRefusal(full=True, retry_after_s=self._retry_after_s(applicant, wait_s))
        if wait_s is not None and wait_s > rules.max_wait_s:
            raise QueueRefusal(full=False, retry_after_s=wait_s)
        self.queue, entry = join(self.queue, applicant, self._clock() + rules.max_wait_s)
        waiter = self.waiters[entry.number] = _Waiter(claim, asyncio.get_running_loop().create_future())
        self._move_in(RECHECK_S if wait_s is None else wait_s)
        granted: Granted | None = None
        try:
            async with asyncio.timeout(rules.max_wait_s):
                granted = await waiter.granted
        except TimeoutError:
            raise QueueRefusal(full=False, retry_after_s=self._retry_after_s(applicant, wait_s)) from None
        finally:
            self._leave(entry, waiter, taken=granted is not None)
        return granted

    def move(self) -> None:
        """Let whoever is next try, soon; while some are trying, once more afterwards."""
        if self._moving is not None:
            self._again = True
        elif self.waiters:
            self._moving = asyncio.create_task(self._move(), name="waiting-room")

    async def _move(self) -> None:
        try:
            self._again = True
            while self._again and self.waiters:
                self._again = False
                await self._round()
        finally:
            self._moving = None

    async def _round(self) -> None:
        """One pass down the line: each account that is found short holds up all who wait for it."""
        blocked: set[str] = set()
        next_s = RECHECK_S
        for entry in turns(self.queue, blocked, self._clock()):
            waiter = self.waiters.get(entry.number)
            if waiter is None or waiter.granted.done():
                continue
            try:
                answer = await waiter.claim.reserve()
            except Exception as error:  # noqa: BLE001 - it is this waiter's error, and the line goes on
                if not waiter.granted.done():
                    waiter.granted.set_exception(error)
                continue
            if isinstance(answer, Granted):
                self._grant(entry, waiter, answer)
            elif isinstance(answer, Denied):
                blocked |= waiter.claim.short(answer)
                next_s = min(next_s, RECHECK_S if answer.wait_s is None else answer.wait_s)
        if self.waiters:
            self._move_in(next_s)

    def _grant(self, entry: Entry, waiter: _Waiter, granted: Granted) -> None:
        if waiter.granted.done():
            waiter.claim.give_back(granted)
            return
        self.queue = serve(self.queue, entry)
        self._pace.add(entry.tokens, self._clock())
        waiter.granted.set_result(granted)

    def _leave(self, entry: Entry, waiter: _Waiter, *, taken: bool) -> None:
        del self.waiters[entry.number]
        granted = waiter.granted
        if not granted.done():
            granted.cancel()
        elif not taken and not granted.cancelled() and granted.exception() is None:
            waiter.claim.give_back(granted.result())
        self.queue = leave(self.queue, entry)
        if self.waiters:
            self.move()  # whoever waited behind this one for the same account may fit now
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _move_in(self, wait_s: float) -> None:
        """Move when the account that is short has refilled so far; the earliest such moment counts."""
        loop = asyncio.get_running_loop()
        when_s = loop.time() + wait_s + REFILL_MARGIN_S
        if self._timer is not None:
            if self._timer.when() <= when_s and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = loop.call_at(when_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.move()

    def _retry_after_s(self, applicant: Applicant, wait_s: float | None) -> float:
        own_s = UNKNOWN_WAIT_S if wait_s is None else wait_s
        return retry_after_s(self.queue, applicant.accounts, own_s, self._pace.tokens_per_s(self._clock()))


class _Pace:
    """How fast a line was served of late: a sum of tokens that fades over `PACE_MEMORY_S`."""

    def __init__(self, now: float) -> None:
        self._tokens = 0.0
        self._at_s = now

    def add(self, tokens: int, now: float) -> None:
        self._tokens = self._faded(now) + tokens
        self._at_s = now

    def tokens_per_s(self, now: float) -> float:
        return self._faded(now) / PACE_MEMORY_S

    def _faded(self, now: float) -> float:
        return self._tokens * math.exp(-max(0.0, now - self._at_s) / PACE_MEMORY_S)
