"""A provider that takes calls and never answers: it has its own connections, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

from tests.end_to_end.proving_ground import whole
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, request, serve, stall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

CONNECTIONS = 50
CALLS = 1000
AT_ONCE = 200


def policy(stalled: str, well: str) -> dict[str, Any]:
    def provider(url: str) -> dict[str, Any]:
        return {"kind": "openai", "base_url": f"{url}/v1", "api_key": "none", "max_connections": CONNECTIONS}

    return {
        "providers": {"stalled": provider(stalled), "well": provider(well)},
        "deployments": {name: {"provider": name, "model": name} for name in ("stalled", "well")},
        "routes": [
            {"model": "stalled", "targets": ["stalled"], "retry": {"attempts": 1}},
            {"model": "well", "targets": ["well"], "retry": {"attempts": 1}},
            {"model": "backed", "targets": ["stalled"], "fallbacks": ["well"], "retry": {"attempts": 1}},
        ],
    }


async def ask(gateway: GatewayProcess, model: str) -> tuple[int, dict[str, Any], float]:
    began_s = time.monotonic()
    body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    data = await gateway.ask(post("/v1/chat/completions", body), within_s=60)
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(rest), time.monotonic() - began_s


async def test_a_thousand_stalled_calls_leave_the_neighbour_alone(tmp_path: Path) -> None:
    async with ScriptedUpstream() as stalled, ScriptedUpstream() as well:
        stalled.otherwise(request(), stall())
        well.otherwise(serve(answer(whole("hello"))))
        async with gateway_process(policy(stalled.url, well.url), tmp_path) as gateway:
            alone_s = [(await ask(gateway, "well"))[2] for _ in range(20)]
            holding = [asyncio.ensure_future(ask(gateway, "stalled")) for _ in range(CONNECTIONS)]
            async with asyncio.timeout(10):
                while len(stalled.requests) < CONNECTIONS:  # noqa: ASYNC110 - another process sends them
                    await asyncio.sleep(0.01)
            places = asyncio.Semaphore(AT_ONCE)

            async def one_more() -> tuple[int, dict[str, Any], float]:
                async with places:
                    return await ask(gateway, "stalled")

            more = [asyncio.ensure_future(one_more()) for _ in range(CALLS - CONNECTIONS)]
            beside = [await ask(gateway, "well") for _ in range(20)]
            refused = await asyncio.gather(*more)
            assert {(status, body["error"]["code"]) for status, body, _ in refused} == {(503, "upstream_busy")}
            assert [status for status, _, _ in beside] == [200] * 20
            # The machine that runs this is busy with the thousand callers as well, hence the room.
            assert statistics.median(took_s for *_, took_s in beside) < 5 * statistics.median(alone_s) + 0.25
            moved = [await ask(gateway, "backed") for _ in range(10)]
            assert [status for status, _, _ in moved] == [200] * 10
            assert statistics.median(took_s for *_, took_s in moved) < 0.5, "nobody waits for what is stuck already"
            shown = {one["name"]: one for one in json.loads((await gateway.admin("/deployments"))[1])["deployments"]}
            assert shown["stalled"]["breaker"] == "closed", "a full pool of ours is no fault of theirs"
            assert (shown["stalled"]["in_flight"], shown["well"]["in_flight"]) == (CONNECTIONS, 0)
            for task in holding:
                task.cancel()
            await asyncio.gather(*holding, return_exceptions=True)
