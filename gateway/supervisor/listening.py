"""The supervisor's side of its workers' metrics: one socket on which they push, and what is known of each by that."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from gateway.signals import vitals_telemetry
from gateway.signals.exposition import Scrapes
from gateway.signals.merged_metrics import MergedMetrics
from gateway.signals.metrics import SERIES_MAX, Registry
from gateway.signals.pushes import LENGTH_BYTES, BadPush, Heard, Hello, Push, body_bytes, framed, read_said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.signals.metrics import Labels
    from gateway.supervisor.worker import Worker

log = logging.getLogger(__name__)

STALE_S: Final = 3.0
"""A worker that has not pushed for so long is not up: pushes come each second."""
SAYS_WITHIN_S: Final = 10.0
_CREDENTIALS: Final = struct.Struct("3i")


class WorkerMetrics:
    """All numbers of the workers and of the supervisor itself, for one scrape. `clock` is monotonic seconds."""

    def __init__(
        self,
        workers: Sequence[Worker],
        series_max: int = SERIES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = Registry(series_max)
        self.merged = MergedMetrics(self.registry)
        self.scrapes = Scrapes(self.merged)
        self._workers = workers
        self._clock = clock
        self._pushed_s: dict[int, float] = {}
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        sample = self.registry.sample
        sample(vitals_telemetry.WORKERS_READY, lambda: [((), sum(worker.is_ready for worker in workers))])
        sample(vitals_telemetry.WORKER_RESTARTS, lambda: [((_slot(one),), one.restarts) for one in workers])
        sample(vitals_telemetry.WORKER_UP, lambda: [((_slot(one),), self._is_up(one)) for one in workers])
        sample(vitals_telemetry.WORKER_PUSH_AGE, self._ages)

    async def start(self, path: Path) -> None:
        """Take pushes at this socket. Raises `OSError`."""
        self._server = await asyncio.start_unix_server(self._meet, str(path))

    async def close(self) -> None:
        """After the last worker has ended: what it sent until then is counted."""
        if self._server is not None:
            self._server.close()
            if self._talks:
                await asyncio.wait(self._talks, timeout=1.0)
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    def _is_up(self, worker: Worker) -> bool:
        return worker.is_ready and self._age_s(worker.place.slot) < STALE_S

    def _age_s(self, slot: int) -> float:
        pushed_s = self._pushed_s.get(slot)
        return float("inf") if pushed_s is None else max(0.0, self._clock() - pushed_s)

    def _ages(self) -> list[tuple[Labels, float]]:
        return [((str(slot),), self._age_s(slot)) for slot in self._pushed_s]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None  # noqa: S101 - asyncio runs this in a task
        self._talks.add(talk)
        try:
            await self._hear(reader, writer)
        except BadPush as error:
            log.error("a worker's metrics are not taken: %s", error)  # noqa: TRY400 - the news is in the words
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            pass  # it has gone; a worker that lives comes back
        finally:
            self.merged.forget(writer)
            self._talks.discard(talk)
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await _said(reader)
        if not isinstance(hello, Hello):
            raise BadPush("no greeting")
        self._check(hello, writer)
        while True:
            push = await _said(reader)
            if not isinstance(push, Push) or push.epoch != hello.epoch:
                raise BadPush("of another run than it began with")
            self.merged.take(writer, hello.slot, push)
            self._pushed_s[hello.slot] = self._clock()
            writer.write(framed(Heard(push.number)))
            await writer.drain()

    def _check(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        """Whether the process at the other end is the worker that it says it is, where the system tells."""
        worker = next((one for one in self._workers if one.place.slot == hello.slot), None)
        if worker is None:
            raise BadPush("of no worker")
        peer = _peer(writer.get_extra_info("socket"))
        if peer is not None and (peer[1] != os.getuid() or peer[0] != worker.pid):
            raise BadPush(f"of another process than worker {hello.slot}")


def _slot(worker: Worker) -> str:
    return str(worker.place.slot)


async def _said(reader: asyncio.StreamReader) -> Hello | Push:
    head = await reader.readexactly(LENGTH_BYTES)
    async with asyncio.timeout(SAYS_WITHIN_S):  # who has begun to speak must end
        return read_said(await reader.readexactly(body_bytes(head)))


def _peer(connection: socket.socket) -> tuple[int, int] | None:
    """Process and user at the other end; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return pid, uid
