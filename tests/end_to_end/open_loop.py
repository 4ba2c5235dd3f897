"""Callers who come when they come, whether or not anybody keeps up: a fixed rate over time, as no closed loop is.

    load = await ramp(gateway.port, [Phase(400, 3.0), Phase(1200, 5.0), Phase(400, 10.0)], asks)
    load.between(0.0, 3.0)      # the calls that were sent then, each with what came of it

`asks` gives the bytes of a call by its number. A caller that has waited for `patience_s` leaves, which is status 0.
Connections are kept and used again. Calls cost the sender some 50 us, so that the gateway keeps a core of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from tests.gateway_process import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TICK_S = 0.005
GOOD_WITHIN_S = 2.0
# For proofs of something else: a machine that is busy with other things must not make the gateway refuse anybody.
NO_SHEDDING = {"shed": {"max_delay": "1m"}}
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CODE = re.compile(rb'"code": *"(\w+)"')
END_OF_STREAM = b"0\r\n\r\n"


class Phase(NamedTuple):
    """A stretch of even load."""

    per_s: float
    for_s: float


@dataclass(slots=True)
class Asked:
    """One call: when it was due, counted from the beginning of the load, and what came of it."""

    number: int
    due_s: float
    status: int = 0
    took_s: float = 0.0
    head: bytes = b""
    body: bytes = b""

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.took_s <= GOOD_WITHIN_S

    @property
    def code(self) -> str:
        """The code of an error that was told as an answer."""
        found = CODE.search(self.body)
        return found[1].decode() if found else ""

    def header(self, name: str) -> str | None:
        found = re.search(rb"\r\n%b: *([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return None if found is None else found[1].decode()


@dataclass
class Load:
    """All calls of one ramp in the order they were sent, and the longest that the sender was late itself."""

    calls: list[Asked] = field(default_factory=list)
    late_s: float = 0.0

    def between(self, from_s: float, to_s: float) -> list[Asked]:
        return [call for call in self.calls if from_s <= call.due_s < to_s]

    def goodput(self, from_s: float, to_s: float) -> float:
        """Good answers a second that came while somebody still cared, among the calls that were due then."""
        return sum(call.is_good for call in self.between(from_s, to_s)) / (to_s - from_s)


def statuses(calls: Sequence[Asked]) -> Counter[int]:
    return Counter(call.status for call in calls)


class Line(asyncio.Protocol):
    """One kept connection, with one call on it at a time."""

    def __init__(self, ended: Callable[[Line], None]) -> None:
        self.call: Asked | None = None
        self.sent_s = 0.0
        self._ended = ended
        self._got = bytearray()
        self._body_at = self._whole = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, call: Asked, data: bytes) -> None:
        assert self._transport is not None
        self.call, self.sent_s = call, time.monotonic()
        self._got.clear()
        self._body_at = self._whole = 0
        self._transport.write(data)

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._body_at and (at := self._got.find(b"\r\n\r\n")) > 0:
            self._body_at = at + 4
            length = LENGTH.search(self._got, 0, at)
            self._whole = self._body_at + int(length[1]) if length else 0
        if self._body_at and (len(self._got) >= self._whole if self._whole else self._got.endswith(END_OF_STREAM)):
            self._tell(int(self._got[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self._tell(0)

    def _tell(self, status: int) -> None:
        call = self.call
        if call is None:
            return
        self.call = None
        call.status, call.took_s = status, time.monotonic() - self.sent_s
        call.head, call.body = bytes(self._got[: self._body_at]), bytes(self._got[self._body_at :])
        self._ended(self)


class Crowd:
    """The connections of all callers: those in use, and those that are kept for the next one."""

    def __init__(self, port: int, patience_s: float) -> None:
        self._port = port
        self._patience_s = patience_s
        self._idle: list[Line] = []
        self._busy: deque[Line] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, call: Asked, data: bytes) -> None:
        while self._idle:
            line = self._idle.pop()
            if line.is_open:
                line.send(call, data)
                self._busy.append(line)
                return
        task = asyncio.get_running_loop().create_task(self._open(call, data))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, call: Asked, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(self._ended), "127.0.0.1", self._port)
        line.send(call, data)
        self._busy.append(line)

    def _ended(self, line: Line) -> None:
        if line.is_open:
            self._idle.append(line)

    def dismiss(self, now: float) -> None:
        """Whoever has waited too long leaves. Calls are in the order of their beginnings, so the first tell."""
        while self._busy and (self._busy[0].call is None or now - self._busy[0].sent_s > self._patience_s):
            line = self._busy.popleft()
            if line.call is not None and now - line.sent_s > self._patience_s:
                line.leave()

    async def end(self) -> None:
        while self._opening or any(line.call is not None for line in self._busy):
            self.dismiss(time.monotonic())
            await asyncio.sleep(TICK_S)
        for line in self._idle:
            line.leave()
        await asyncio.sleep(0)


async def ramp(port: int, phases: Sequence[Phase], asks: Callable[[int], bytes], patience_s: float = 10.0) -> Load:
    """Send at each phase's rate, then wait until every call has ended."""
    load, crowd, began_s = Load(), Crowd(port, patience_s), time.monotonic()
    offset_s = 0.0
    for phase in phases:
        sent, due = 0, round(phase.per_s * phase.for_s)
        while sent < due:
            now_s = time.monotonic() - began_s - offset_s
            while sent < due and sent <= now_s * phase.per_s:
                call = Asked(len(load.calls), offset_s + sent / phase.per_s)
                load.late_s = max(load.late_s, now_s - sent / phase.per_s)
                load.calls.append(call)
                crowd.send(call, asks(call.number))
                sent += 1
            crowd.dismiss(time.monotonic())
            await asyncio.sleep(TICK_S)
        offset_s += phase.for_s
    await crowd.end()
    return load


def asking(model: str, *, key: str = KEY, **more: object) -> bytes:
    """A chat call on a connection that is kept."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]} | more).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    return f"{head}Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
