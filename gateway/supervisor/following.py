"""Events of several workers as one list: each worker has a cursor of its own, and all of them stand in one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from gateway.admin.event_routes import EVENTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.admin.event_routes import EventQuery

BREATH_S: Final = 0.05
"""For how long the others are waited for once one worker has events."""
PATIENCE_S: Final = 5.0


class _Page(msgspec.Struct):
    events: list[msgspec.Raw]
    cursor: str
    missed: int = 0


class _Told(msgspec.Struct):
    ts: str


class Followed(NamedTuple):
    events: list[msgspec.Raw]
    cursor: str
    missed: int


async def follow(
    slots: list[str], query: EventQuery, ask: Callable[[str, str, float], Awaitable[bytes | None]]
) -> Followed:
    """What `ask` (slot, path, time limit) hears of each worker, in the order of time; as soon as one has something.

    A worker that does not answer keeps its cursor. One that was not there before is followed from now on, and one that
    is gone is left out.
    """
    cursors = cursors_of(query.after if isinstance(query.after, str) else "")
    asking = {
        slot: asyncio.ensure_future(ask(slot, path_of(query, cursors.get(slot)), query.wait_s + PATIENCE_S))
        for slot in slots
    }
    try:
        await _until_one_has_some(list(asking.values()))
        pages = {slot: _page(task) for slot, task in asking.items()}
    finally:
        for task in asking.values():
            task.cancel()
        await asyncio.gather(*asking.values(), return_exceptions=True)
    told = {slot: page for slot, page in pages.items() if page is not None}
    ahead = {slot: told[slot].cursor if slot in told else cursors.get(slot) for slot in slots}
    events = sorted((event for page in told.values() for event in page.events), key=_time_of)
    cursor = ",".join(f"{slot}:{at}" for slot, at in ahead.items() if at is not None)
    return Followed(events, cursor, sum(page.missed for page in told.values()))


def cursors_of(text: str) -> dict[str, str]:
    """The workers' own cursors by slot; what is none is left out."""
    parts = (part.partition(":") for part in text.split(","))
    return {slot: cursor for slot, colon, cursor in parts if colon and slot.isdecimal()}


def path_of(query: EventQuery, after: str | None) -> str:
    """The same question for one worker. Who has no cursor for it yet is not kept waiting."""
    asked: Mapping[str, Any] = msgspec.to_builtins(query)
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
    words.pop("after", None)
    if after is None:
        words["wait_s"] = 0
    else:
        words["after"] = after
    return f"{EVENTS}?{urlencode(words)}"


async def _until_one_has_some(asking: list[asyncio.Future[bytes | None]]) -> None:
    waiting = set(asking)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if any((page := _page(task)) is not None and page.events for task in done):
            if waiting:
                await asyncio.wait(waiting, timeout=BREATH_S)
            return


def _page(task: asyncio.Future[bytes | None]) -> _Page | None:
    body = task.result() if task.done() and not task.cancelled() else None
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=_Page)
    except msgspec.DecodeError:
        return None


def _time_of(event: msgspec.Raw) -> str:
    return msgspec.json.decode(event, type=_Told).ts
