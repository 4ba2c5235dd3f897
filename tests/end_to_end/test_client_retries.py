"""Clients that try again by themselves, against an upstream that is down: layers of retries must not multiply."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from tests.end_to_end.moody_upstream import Mood, MoodyUpstream
from tests.end_to_end.open_loop import NO_SHEDDING
from tests.gateway_process import KEY, gateway_process, one_route

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

CALLS = 40
CLIENT_TRIES = 3
GATEWAY_TRIES = 3
NEVER = {"failures": 1000, "failure_share": "100%", "of_at_least": 100_000}


def policy(url: str, breaker: dict[str, Any]) -> dict[str, Any]:
    made = one_route(url, retry={"attempts": GATEWAY_TRIES}, timeouts={"first_token": "300ms", "total": "3s"})
    made["providers"]["scripted"]["breaker"] = breaker
    made["server"] = NO_SHEDDING
    return made


async def ask(client: AsyncOpenAI, *, stream: bool = False) -> int:
    """The status in the end, after all that the client did by itself."""
    messages: Any = [{"role": "user", "content": "hi"}]
    try:
        if stream:
            async for _ in await client.chat.completions.create(model="m", messages=messages, stream=True):
                pass
        else:
            await client.chat.completions.create(model="m", messages=messages)
    except APIStatusError as error:
        return error.status_code
    return 200


@pytest.mark.parametrize(
    "breaker", [pytest.param(NEVER, id="no-breaker"), pytest.param({}, id="breaker", marks=pytest.mark.slow)]
)
async def test_a_clients_tries_and_the_gateways_do_not_multiply(tmp_path: Path, breaker: dict[str, Any]) -> None:
    async with MoodyUpstream() as far, gateway_process(policy(far.url, breaker), tmp_path) as gateway:
        far.mood = Mood.REFUSES
        began_s = time.monotonic()
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=KEY) as client:
            found = await asyncio.gather(*(ask(client, stream=bool(number % 2)) for number in range(CALLS)))
            took_s = time.monotonic() - began_s
            attempts = far.arrived["gpt-4o-mini"]
            far.mood = Mood.WELL
            assert await ask(client) == 200
        assert await gateway.stop() == 0
    assert set(found) == {502}
    requests = sum(line.get("event") == "request.completed" for line in gateway.lines) - 1
    log.info("%d requests for %d calls, %d attempts in %.1f s", requests, CALLS, attempts, took_s)
    assert requests == CALLS * CLIENT_TRIES
    assert attempts <= 1.2 * requests + 10 * (1 + took_s) < GATEWAY_TRIES * requests
    assert attempts == sum(row["outcome"] != "ok" for row in gateway.ledger())
