from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.state.answers import notes
from gateway.state.answers.notes import Notes
from tests.answer_store_suite import OTHER, Asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from gateway.state.answers.notes import Counts


class Written:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Counts]]] = []
        self.any = asyncio.Event()

    def write(self, owner: str, counts: Mapping[str, Counts]) -> None:
        self.rows.append((owner, dict(counts)))
        self.any.set()


async def test_many_hits_make_one_write_for_each_owner() -> None:
    written = Written()
    waiting = Notes(written.write, wait_s=60.0)
    mine, theirs = Asked().entry(0.0), Asked(owner=OTHER).entry(0.0, "ce_2")
    for _ in range(5):
        waiting.add(mine, (1, 0, 0))
    waiting.add(mine, (0, 1, 2))
    waiting.add(theirs, (1, 0, 0))
    assert written.rows == []
    waiting.flush()
    assert written.rows == [(mine.owner, {"ce_1": (5, 1, 2)}), (OTHER, {"ce_2": (1, 0, 0)})]
    waiting.flush()
    assert len(written.rows) == 2


async def test_they_are_written_by_themselves_soon() -> None:
    written = Written()
    Notes(written.write, wait_s=0.01).add(Asked().entry(0.0), (1, 0, 0))
    async with asyncio.timeout(1.0):
        await written.any.wait()
    assert [counts for _, counts in written.rows] == [{"ce_1": (1, 0, 0)}]


async def test_too_many_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "WAITING_MAX", 3)
    written = Written()
    waiting = Notes(written.write, wait_s=60.0)
    for number in range(3):
        waiting.add(Asked().entry(0.0, f"ce_{number}"), (1, 0, 0))
    assert len(written.rows[0][1]) == 3
