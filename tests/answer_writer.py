"""A process that keeps answers in a file until it is killed, and says what it knows of it: `written N`, `dropped N`.

`python -m tests.answer_writer FILE FIRST`: entries are numbered from FIRST on.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.snapshot import Snapshot
from gateway.state.answers.store import Which
from tests.answer_store_suite import Asked

BODY_BYTES = 1_000


def entry_of(number: int) -> bytes:
    """The body by which a reader knows it again."""
    return str(number).encode().ljust(BODY_BYTES, b"%d" % (number % 10))


async def write(path: Path, number: int) -> None:
    snapshot = Snapshot(path, every_s=0.01)
    store = InProcessAnswers(snapshot=snapshot)
    await store.start()
    await store.loaded()
    while True:
        for _ in range(50):
            entry = Asked(str(number)).entry(time.time(), f"ce_{number}")
            entry = msgspec.structs.replace(entry, body=entry_of(number), expires_at_s=entry.stored_at_s + 3600.0)
            await store.keep(entry, None)
            number += 1
            await asyncio.sleep(0.0005)
        gone = number - 7
        await store.drop(Which(id=f"ce_{gone}"))
        print(f"dropped {gone}", flush=True)  # noqa: T201 - it is asked through its output
        await snapshot.written()
        print(f"written {number - 1}", flush=True)  # noqa: T201 - it is asked through its output


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
