"""The transport's tests run on both loops; a pool that a test opens is closed after it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import uvloop

from adapters.base import WireRequest
from gateway.transport import Pool, Response
from policies.vocabulary import Timeouts
from tests.scripted_upstream import ScriptedUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WIRE = WireRequest("/v1/chat/completions", b'{"model":"m"}')


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
async def pool(upstream: ScriptedUpstream) -> AsyncIterator[Pool]:
    pool = Pool(upstream.url, (("authorization", "Bearer sk-upstream-secret"),))
    yield pool
    await pool.close()


async def until(claim: Callable[[], object]) -> None:
    """Let the loop turn until the claim holds, for two seconds at most."""
    async with asyncio.timeout(2):
        while not claim():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks a pool for one answer, with limits that a test names."""

    timeouts: Timeouts = Timeouts()  # noqa: RUF009 - frozen
    total_s: float = 5.0
    wire: WireRequest = WIRE

    async def __call__(self, pool: Pool, *, first_token: bool = False) -> Response:
        deadline_s = asyncio.get_running_loop().time() + self.total_s
        return await pool.request(self.wire, (), self.timeouts, deadline_s, first_token=first_token)
