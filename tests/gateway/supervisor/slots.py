"""Worker slots as a supervisor holds them, with the process of the tests in them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from gateway.supervisor.place import Place
from gateway.supervisor.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class HereWorker(Worker):
    """One that is up, and whose process is the test's own."""

    def __init__(self, place: Place, pid: int | None = None) -> None:
        super().__init__(place, ())
        self.is_ready = True
        self._own_pid = os.getpid() if pid is None else pid

    @property
    def pid(self) -> int | None:
        return self._own_pid


def slots(folder: Path, count: int) -> list[HereWorker]:
    return [HereWorker(Place(slot, 0, folder / f"{slot}.sock")) for slot in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if holds():
                return
            await asyncio.sleep(0.001)
