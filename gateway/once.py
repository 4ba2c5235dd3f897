"""The one run of a call with an `Idempotency-Key`, in a task of its own: it outlives the caller who began it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.call import Reply
from gateway.errors import DrainingError, GatewayError, UpstreamError
from gateway.limits import refusals
from gateway.state.replays.store import Outcome, Refusal
from policies.caller_view import caller_view
from policies.replaying import keeps_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Call
    from gateway.drains import Drain
    from gateway.pipeline import Handler
    from gateway.recording import Following, Recording
    from gateway.state.replays.store import ReplayStore, Slot

log = logging.getLogger(__name__)


class Once:
    """`call` is the first caller's, and the one that is recorded and billed."""

    def __init__(self, call: Call, recording: Recording, store: ReplayStore, slot: Slot) -> None:
        self.recording = recording
        self._call = call
        self._store = store
        self._slot = slot
        self._first: Following = recording.follow()
        self._task: asyncio.Task[None] | None = None
        self._is_abandoned = False
        self._ended: Callable[[], None] = _nothing

    async def start(self, then: Handler, ended: Callable[[], None]) -> Reply:
        """The first caller's reply. `ended` is called when nobody can join any more."""
        call, first = self._call, self._first
        self._ended = ended
        self._task = asyncio.ensure_future(self._run(then))
        call.drain = self._go_on
        try:
            await first.opened()
        except Exception:
            call.drain = None
            raise
        if first.body is not None:
            call.drain = None
        return Reply(first, self.recording.deployment)

    async def _run(self, then: Handler) -> None:
        call, recording = self._call, self.recording
        error: Exception | None = None
        kept: Outcome | None = None
        try:
            reply = await then(call)
            call.drain = self._go_on  # not the attempt's own: the run is what goes on
            if reply.answer.body is None:
                recording.open(reply.answer, reply.deployment, call.route)
                await recording.fill(reply.answer)
            kept = recording.outcome(reply.answer, call.route)
        except asyncio.CancelledError:
            error = self._why_ended()
            await end_now(call.drain if call.drain != self._go_on else None)
        except GatewayError as refused:
            error, kept = refused, self._refused(refused)
        except Exception as bug:  # noqa: BLE001 - the caller's handler raises it, and the edge tells of it
            error = bug
        try:
            await self._settle(kept)
        finally:
            if error is None and not recording.is_open:
                recording.open(reply.answer, reply.deployment, call.route)
            self._ended()
            recording.end(error)

    async def _settle(self, kept: Outcome | None) -> None:
        """Before anybody hears of the end, so that a repetition finds it."""
        if kept is None:
            self._store.release(self._slot)
        else:
            await self._store.keep(self._slot, kept)

    def _refused(self, error: GatewayError) -> Outcome | None:
        """What is kept of a refusal: one that blames the request, from an upstream that has seen it."""
        if not isinstance(error, UpstreamError) or self.recording.is_open:
            return None
        status, _, code, _ = caller_view(error.failure)
        if not keeps_refusal(status):
            return None
        message = error.message or "The upstream refused this request."
        route = self._call.route.name if self._call.route is not None else None
        return Outcome(self._call.id, route, refusal=Refusal(status, code, message, error.failure.param))

    async def _go_on(self) -> None:
        """The first caller has left. Cancelled (its time is up, or the gateway stops), the run ends when nobody follows
        it any more.
        """
        call, recording = self._call, self.recording
        self._first.close()
        self._is_wanted()
        try:
            try:
                await recording.over()
            except asyncio.CancelledError:
                await recording.unwanted()
                raise
        finally:
            await self._end()
            call.cancelled = True

    def _is_wanted(self) -> None:
        """What goes on is no cancelled attempt: it may move elsewhere, and ends as it ends."""
        self._call.cancelled = False
        for attempt in self._call.attempts:
            if attempt.ended_s is None:
                attempt.cancelled = False

    async def _end(self) -> None:
        task = self._task
        if task is not None and not task.done():
            self._is_abandoned = True
            self._ended()
            task.cancel()
            await asyncio.wait([task])
        note_end(self._call, self.recording.error)

    def _why_ended(self) -> Exception:
        call = self._call
        if not self._is_abandoned and call.admitted is not None and call.admitted.is_lost:
            return refusals.reservation_lost()
        return DrainingError("The call ended before its answer was complete.")


def note_end(call: Call, error: Exception | None) -> None:
    """What ended the attempt of a run that its caller did not stay for, where that is not written down yet."""
    attempt = call.decisive
    if attempt is None or attempt.failure is not None or attempt.ended_s is not None:
        return
    if isinstance(error, UpstreamError):
        attempt.failure = error.failure
    elif error is not None:
        attempt.cancelled = True


async def end_now(drain: Drain | None) -> None:
    """An attempt that would read on, were it not for its time being up already."""
    if drain is None:
        return
    task = asyncio.ensure_future(drain())
    await asyncio.sleep(0)  # what is cancelled before it begins cannot clean up after itself
    task.cancel()
    await asyncio.wait([task])


def _nothing() -> None: ...
