from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.signals import telemetry, vitals_telemetry
from gateway.signals.deltas import Deltas
from gateway.signals.metrics import Registry
from gateway.signals.pushes import LENGTH_BYTES, PUSH_BYTES_MAX, Hello, Push, body_bytes, framed, read_heard
from gateway.supervisor.listening import STALE_S, WorkerMetrics
from gateway.supervisor.place import Place
from tests.gateway.supervisor.slots import HereWorker, slots, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def listening(folder: Path, workers: Sequence[HereWorker], now: list[float]) -> AsyncIterator[WorkerMetrics]:
    metrics = WorkerMetrics(workers, clock=lambda: now[0])
    await metrics.start(folder / "metrics.sock")
    try:
        yield metrics
    finally:
        await metrics.close()


@asynccontextmanager
async def peer(folder: Path, *words: bytes) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_unix_connection(str(folder / "metrics.sock"))
    try:
        for word in words:
            writer.write(word)
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(5):
        return read_heard(await reader.readexactly(body_bytes(await reader.readexactly(LENGTH_BYTES)))).number


async def is_hung_up(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        return await reader.read() == b""


def told(metrics: WorkerMetrics) -> dict[str, dict[tuple[str, ...], object]]:
    return {one.family.name: dict(one.values) for one in metrics.merged.finished(metrics.merged.copied())}


def some_calls(count: int) -> Push:
    registry = Registry()
    registry.cells(telemetry.TEAM_REQUESTS).at("a", "ok").inc(count)
    registry.sample(telemetry.INFLIGHT, lambda: [(("r",), 2)])
    return Deltas(registry, 7).next()


async def test_a_push_is_counted_and_answered_and_its_copy_is_answered_only(tmp_path: Path) -> None:
    push = some_calls(3)
    async with listening(tmp_path, slots(tmp_path, 1), [0.0]) as metrics:
        for _ in range(2):
            async with peer(tmp_path, framed(Hello(0, 7)), framed(push), framed(push)) as (reader, _):
                assert [await answer(reader), await answer(reader)] == [1, 1]
        assert told(metrics)["pointsman_team_requests_total"] == {("a", "ok"): 3}


async def test_a_worker_is_up_while_it_pushes_and_its_gauges_are_there_while_it_is_connected(tmp_path: Path) -> None:
    now = [100.0]
    async with listening(tmp_path, slots(tmp_path, 2), now) as metrics:
        assert told(metrics)[vitals_telemetry.WORKER_UP.name] == {("0",): False, ("1",): False}
        async with peer(tmp_path, framed(Hello(0, 7)), framed(some_calls(3))) as (reader, _):
            await answer(reader)
            shown = told(metrics)
            assert shown[vitals_telemetry.WORKER_UP.name] == {("0",): True, ("1",): False}
            assert shown["pointsman_inflight_requests"] == {("r",): 2}
            now[0] += STALE_S
            shown = told(metrics)
            assert shown[vitals_telemetry.WORKER_UP.name]["0",] is False
            assert shown[vitals_telemetry.WORKER_PUSH_AGE.name] == {("0",): STALE_S}
        await until(lambda: "pointsman_inflight_requests" not in told(metrics))
        assert told(metrics)["pointsman_team_requests_total"] == {("a", "ok"): 3}


@pytest.mark.parametrize(
    "words",
    [
        [framed(some_calls(1))],
        [framed(Hello(9, 7))],
        [framed(Hello(0, 8)), framed(some_calls(1))],
        [framed(Hello(0, 7)), framed(Hello(0, 7))],
        [b"GET / HTTP/1.1\r\n\r\n"],
        [(PUSH_BYTES_MAX + 1).to_bytes(LENGTH_BYTES, "big")],
        [framed(Hello(0, 7)), (3).to_bytes(LENGTH_BYTES, "big") + b"\xff\xff\xff"],
    ],
)
async def test_whoever_does_not_keep_to_the_form_is_hung_up_on_and_counts_for_nothing(
    tmp_path: Path, words: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tmp_path, slots(tmp_path, 1), [0.0]) as metrics:
        async with peer(tmp_path, *words) as (reader, _):
            assert await is_hung_up(reader)
        assert "pointsman_team_requests_total" not in told(metrics)
        assert "a worker's metrics are not taken" in caplog.text
        async with peer(tmp_path, framed(Hello(0, 7)), framed(some_calls(1))) as (reader, _):
            assert await answer(reader) == 1


async def test_another_process_is_not_believed_to_be_a_worker(tmp_path: Path) -> None:
    stranger = HereWorker(Place(0, 0, tmp_path / "0.sock"), pid=1)
    async with (
        listening(tmp_path, [stranger], [0.0]) as metrics,
        peer(tmp_path, framed(Hello(0, 7)), framed(some_calls(1))) as (reader, _),
    ):
        assert await is_hung_up(reader)
        assert "pointsman_team_requests_total" not in told(metrics)


async def test_what_was_sent_before_the_end_is_counted_at_the_end(tmp_path: Path) -> None:
    metrics = WorkerMetrics(slots(tmp_path, 1))
    await metrics.start(tmp_path / "metrics.sock")
    async with peer(tmp_path, framed(Hello(0, 7)), framed(some_calls(3))) as (reader, writer):
        await answer(reader)
        writer.close()
        await metrics.close()
    assert told(metrics)["pointsman_team_requests_total"] == {("a", "ok"): 3}
