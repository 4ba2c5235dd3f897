"""A gateway that keeps its limits in memory begins again: what was spent this month is what its ledger says."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.limited_ground import Caller, ask, levels, limited, metered, press, settled, until, use_up
from tests.gateway_process import gateway_process
from tests.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BUDGET_NANOUSD = 600_000
CALLER = Caller("budget", limits=[{"cost": "0.0006 USD/month"}, {"requests": "1000/day"}])


@asynccontextmanager
async def ledger(kind: str, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """The policy's `ledger`, empty."""
    if kind == "sqlite":
        yield {"url": f"sqlite:///{folder / 'ledger.db'}"}
        return
    server = postgres_server()
    name = urlsplit(server.fresh_url()).path
    folder_of_socket = server.folder

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The server listens on a socket in a folder, and a policy names a host."""
        inner_reader, inner_writer = await asyncio.open_unix_connection(folder_of_socket / ".s.PGSQL.5432")
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer), return_exceptions=True)

    relay = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = relay.sockets[0].getsockname()[1]
    try:
        yield {"url": f"postgresql://pointsman@127.0.0.1:{port}{name}", "journal": str(folder / "journal")}
    finally:
        relay.close()
        await relay.wait_closed()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_budget_outlives_its_gateway(kind: str, tmp_path: Path) -> None:
    async with ledger(kind, tmp_path) as where, metered() as meter:
        policy = limited(meter.url, CALLER, ledger=where)
        async with gateway_process(policy, tmp_path) as gateway:
            first = await press([gateway], CALLER, callers=8, calls=1)
            assert first.statuses == {200: 8}
            spent = (await settled(gateway))["budget cost"]["used"]
            assert spent == meter.nanousd[CALLER.model]
            assert await gateway.stop() == 0
        async with gateway_process(policy, tmp_path) as gateway:
            assert "budget cost" not in await levels(gateway)
            meter.held_back = asyncio.Event()
            lost = [asyncio.create_task(ask(gateway, CALLER)) for _ in range(2)]
            await until(lambda: meter.under_way[CALLER.model] == 2)
            level = (await levels(gateway))["budget cost"]
            assert level["used"] == spent, "the month has begun anew"
            await gateway.stop(signal.SIGKILL)
            await asyncio.gather(*lost, return_exceptions=True)
            spent += level["held"]
            meter.held_back.set()
            await until(lambda: not meter.under_way[CALLER.model])
            meter.nanousd.clear()  # theirs is in `spent`
        async with gateway_process(policy, tmp_path) as gateway:
            crowd = await press([gateway], CALLER, callers=16, calls=6)
            assert set(crowd.statuses) == {200, 429}
            last = await use_up(gateway, CALLER)
            used = spent + meter.nanousd[CALLER.model]
            assert BUDGET_NANOUSD - CALLER.reserved_nanousd < used <= BUDGET_NANOUSD
            seen = await settled(gateway)
            assert seen["budget cost"]["used"] == used
            assert seen["budget requests"]["used"] == 8 + 2 + crowd.admitted + len(last) - 1
            assert await gateway.stop() == 0
        async with gateway_process(policy, tmp_path) as gateway:
            refused = await press([gateway], CALLER, callers=4, calls=1)
            assert refused.statuses == {429: 4}
            assert (await levels(gateway))["budget cost"]["used"] == seen["budget cost"]["used"]
