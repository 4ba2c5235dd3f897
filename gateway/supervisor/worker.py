"""One worker slot: a process that is started, watched, started again when it dies, and told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from gateway.errors import StartError
from gateway.supervisor.place import READY
from policies.restarts import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.supervisor.place import Place

log = logging.getLogger(__name__)

READY_WITHIN_S: Final = 120.0
RESTARTS: Final = RestartPolicy(longest_wait_s=10.0, stable_s=30.0, deaths_allowed=8)


class Worker:
    """`command` starts one that says `READY`; `restarts` counts the starts after the first."""

    def __init__(self, place: Place, command: Sequence[str]) -> None:
        self.place = place
        self.restarts = 0
        self.is_ready = False
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._started_s = 0.0
        self._deaths: tuple[float, ...] = ()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process and wait until it serves. Raises `StartError`; the worker has said why on its own."""
        self.place.admin_socket.unlink(missing_ok=True)
        self._started_s = time.monotonic()
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                said = await process.stdout.readline() if process.stdout is not None else b""
        except TimeoutError:
            process.kill()
            said = b""
        if said != READY:
            await self._end()
            raise StartError(f"worker {self.place.slot} did not start (exit code {process.returncode})")
        self.is_ready = True

    async def watch(self) -> None:
        """Start the process again each time it dies, until `stop`. It has been started once."""
        while not self._stopping.is_set():
            await self._end()
            if self._stopping.is_set():
                return
            now = time.monotonic()
            self._deaths = RESTARTS.record(self._deaths, now, now - self._started_s)
            delay_s = RESTARTS.wait_s(self._deaths)
            log.error("worker %d died; starting it again in %.1f s", self.place.slot, delay_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
                    return
            self.restarts += 1
            try:
                await self.start()
            except StartError as error:
                log.error("%s", error)  # noqa: TRY400 - its own words are in the log already
        self.send(signal.SIGTERM)  # told to stop while it was starting
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is not None:
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        self.is_ready = False

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if there is one."""
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def stop(self) -> None:
        """Let it drain, and do not start it again."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    async def ended(self, within_s: float) -> None:
        """Wait for the end; what has not ended by then is killed."""
        try:
            async with asyncio.timeout(within_s):
                await self._end()
        except TimeoutError:
            log.error("worker %d did not stop in time and is killed", self.place.slot)  # noqa: TRY400 - the news is in the words
            self.send(signal.SIGKILL)
            await self._end()
