from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.signals import telemetry
from gateway.signals.metrics import Registry
from gateway.signals.pushes import framed
from gateway.supervisor import pushing
from gateway.supervisor.listening import WorkerMetrics
from gateway.supervisor.place import Place
from gateway.supervisor.pushing import Pushing
from tests.gateway.supervisor.slots import slots, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    import pytest

    from gateway.signals.metrics import FamilySnapshot
    from gateway.signals.pushes import Push

TEAMS = telemetry.TEAM_REQUESTS


@asynccontextmanager
async def supervisor(folder: Path, metrics: WorkerMetrics | None = None) -> AsyncIterator[WorkerMetrics]:
    metrics = metrics or WorkerMetrics(slots(folder, 1))
    await metrics.start(folder / "metrics.sock")
    try:
        yield metrics
    finally:
        await metrics.close()
        (folder / "metrics.sock").unlink(missing_ok=True)


def counted(metrics: WorkerMetrics) -> int:
    return metrics.registry.cells(TEAMS).at("a", "ok").value


def a_worker(folder: Path) -> tuple[Pushing, Registry]:
    registry = Registry()
    return Pushing(registry, Place(0, 0, folder / "0.sock")), registry


async def test_what_grew_is_pushed_each_time_on_one_connection(tmp_path: Path) -> None:
    worker, registry = a_worker(tmp_path)
    async with supervisor(tmp_path) as metrics:
        for total in (3, 6, 9):
            registry.cells(TEAMS).at("a", "ok").inc(3)
            await worker.push()
            assert counted(metrics) == total
        assert len(metrics._talks) == 1
        worker._hang_up()


async def test_much_is_pushed_at_once_in_parts(tmp_path: Path) -> None:
    worker, registry = a_worker(tmp_path)
    for number in range(1_900):
        registry.cells(TEAMS).at(f"team-{number}", "ok").inc()
    async with supervisor(tmp_path) as metrics:
        await worker.push()
        assert len(metrics.registry.cells(TEAMS).children) == 1_900
        worker._hang_up()


async def test_what_nobody_heard_is_pushed_again_and_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker, registry = a_worker(tmp_path)
    registry.cells(TEAMS).at("a", "ok").inc(3)
    await worker.push()
    await worker.push()
    assert caplog.text.count("does not take this worker's metrics") == 1
    async with supervisor(tmp_path) as metrics:
        await worker.push()
        assert counted(metrics) == 3
    registry.cells(TEAMS).at("a", "ok").inc(4)
    await worker.push()  # the supervisor has hung up
    async with supervisor(tmp_path, metrics):
        await worker.push()
        await worker.push()
        assert counted(metrics) == 7
        worker._hang_up()


async def test_an_answer_that_is_lost_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    worker, registry = a_worker(tmp_path)
    async with supervisor(tmp_path) as metrics:
        connection = await worker._connect()
        registry.cells(TEAMS).at("a", "ok").inc(3)
        connection[1].write(framed(worker._deltas.next()))  # it is counted, and the answer never read
        await until(lambda: counted(metrics) == 3)
        worker._hang_up()
        registry.cells(TEAMS).at("a", "ok").inc(2)
        await worker.push()
        await worker.push()
        assert counted(metrics) == 5
        worker._hang_up()


async def test_the_last_numbers_are_pushed_at_the_end(tmp_path: Path) -> None:
    worker, registry = a_worker(tmp_path)
    async with supervisor(tmp_path) as metrics:
        worker.start()
        registry.cells(TEAMS).at("a", "ok").inc(3)
        await asyncio.sleep(0)  # in the midst of its first push
        registry.cells(TEAMS).at("a", "ok").inc(4)
        await worker.close()
        assert counted(metrics) == 7


async def test_it_pushes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "PUSH_EVERY_S", 0.001)
    worker, registry = a_worker(tmp_path)
    async with supervisor(tmp_path) as metrics:
        worker.start()
        for total in (1, 2):
            registry.cells(TEAMS).at("a", "ok").inc()
            await until(lambda: counted(metrics) == total)  # noqa: B023 - it is over before the next one
        await worker.close()


async def test_it_goes_on_pushing_after_a_fault_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pushing, "PUSH_EVERY_S", 0.001)
    worker, registry = a_worker(tmp_path)
    next_of, faults = worker._deltas.next, [RuntimeError("a bug")]

    def next_or_fail(apart: Iterable[FamilySnapshot] = ()) -> Push:
        if faults:
            raise faults.pop()
        return next_of(apart)

    monkeypatch.setattr(worker._deltas, "next", next_or_fail)
    async with supervisor(tmp_path) as metrics:
        registry.cells(TEAMS).at("a", "ok").inc(3)
        worker.start()
        await until(lambda: counted(metrics) == 3)
        await worker.close()
    assert "metrics could not be pushed" in caplog.text


async def test_an_end_without_a_supervisor_is_an_end(tmp_path: Path) -> None:
    worker, registry = a_worker(tmp_path)
    registry.cells(TEAMS).at("a", "ok").inc()
    worker.start()
    await worker.close()
    assert worker._connection is None
