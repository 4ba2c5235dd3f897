"""A leg and the hedge that may join it: the first good answer wins, and the other leg is cancelled.

Only calls of routes with hedge rules come here, as each leg is a task of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.errors import GatewayError, UpstreamError
from policies.attempts import AttemptKind, Hedge, Outcome, Running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.attempts.legs import Leg
    from gateway.call import Reply
    from policies.attempts import Decision

SETTLES_WITHIN_S: Final = 0.05
"""How long a winner waits for the loser to say whether anything had been sent: an iteration of the loop, as a rule."""
SOONEST_S: Final = 0.001

Ended = tuple[Outcome, ...]


class Course(NamedTuple):
    """What a race asks of the stage that runs it.

    `company` says whether a hedge may join what is under way; `start` carries out that decision, as a leg to be run.
    `win` makes a leg's reply the call's.
    """

    company: Callable[[Ended, tuple[Running, ...]], Decision]
    start: Callable[[Hedge], Leg]
    run: Callable[[Leg], Awaitable[Reply]]
    win: Callable[[Leg, Reply], None]


class Race:
    """One call's legs under way, by the task that runs each."""

    def __init__(self, course: Course, ended: Ended, clock: Callable[[], float]) -> None:
        self._course = course
        self._clock = clock
        self._legs: dict[asyncio.Future[Reply], Leg] = {}
        self._hedged = False
        self.ended = ended

    async def run(self, first: Leg) -> Reply | None:
        """The winner's reply; None where every leg failed, as `ended` tells."""
        self._add(first)
        try:
            while self._legs:
                won = await self._next()
                if won is not None:
                    return won
        except BaseException:
            await self._stop()
            raise
        return None

    async def _next(self) -> Reply | None:
        """Wait for what happens next: a leg ends, or it is time for a hedge."""
        hedge = self._hedge()
        if hedge is not None and hedge.delay_s <= 0.0:
            self._hedged = True
            self._add(self._course.start(hedge))
            return None
        within_s = None if hedge is None else max(SOONEST_S, hedge.delay_s)
        done, _ = await asyncio.wait(self._legs, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in self._legs if task in done]:
            leg = self._legs.pop(task)
            reply = self._outcome(leg, task)
            if reply is not None:
                self._course.win(leg, reply)
                await self._outrun()
                return reply
        return None

    def _hedge(self) -> Hedge | None:
        if self._hedged or any(leg.has_content for leg in self._legs.values()):
            return None
        running = tuple(Running(leg.step.deployment.id, leg.started_s) for leg in self._legs.values())
        decision = self._course.company(self.ended, running)
        return decision if isinstance(decision, Hedge) else None

    def _outcome(self, leg: Leg, task: asyncio.Future[Reply]) -> Reply | None:
        try:
            return task.result()
        except UpstreamError as error:
            outcome = Outcome(leg.step.deployment.id, error.failure, leg.started_s, self._clock())
            self.ended = (*self.ended, outcome)
        except GatewayError:
            # A hedge that has no room, or is not to be sent, is one that is not made; the first goes on.
            if leg.step.kind is not AttemptKind.HEDGE:
                raise
        return None

    def _add(self, leg: Leg) -> None:
        self._legs[asyncio.ensure_future(self._course.run(leg))] = leg

    async def _outrun(self) -> None:
        """Cancel whoever has not won."""
        losers = list(self._legs.items())
        self._legs.clear()
        for task, leg in losers:
            reply = task.result() if task.done() and not task.cancelled() and task.exception() is None else None
            leg.lose(reply)
            task.cancel()
        if losers:
            await _settled([task for task, _ in losers])

    async def _stop(self) -> None:
        """The caller has left, or the call cannot go on: every leg ends, and says how far it came."""
        tasks = list(self._legs)
        for task, leg in self._legs.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                self._course.win(leg, task.result())  # nobody takes it; its end is the call's
            task.cancel()
        self._legs.clear()
        if tasks:
            await _settled(tasks)


async def _settled(tasks: list[asyncio.Future[Reply]]) -> None:
    for task in tasks:
        task.add_done_callback(_forget)
    await asyncio.wait(tasks, timeout=SETTLES_WITHIN_S)


def _forget(task: asyncio.Future[Reply]) -> None:
    """Its leg has written down what it came to."""
    if not task.cancelled():
        task.exception()
