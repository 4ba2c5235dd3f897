"""A disk that is full under a gateway with budgets: nothing that costs runs while what it costs could be lost.

The limit on the size of files stands in for the full disk: from one moment on no write to journal or database succeeds.
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

from tests.end_to_end.proving_ground import Reply, parsed
from tests.gateway_process import KEY, GatewayProcess, gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHAT = "/v1/chat/completions"
WITHIN_S = 20.0
OPEN_KEY = "sk-a-key-without-limits-0123456789"


def policy(url: str, budget: dict[str, str] | None) -> dict[str, Any]:
    def served(cost: float) -> dict[str, Any]:
        return {"provider": "p", "model": "gpt-5-mini", "price": {"input": cost, "output": cost}}

    return {
        "providers": {"p": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": {"paid": served(0.25), "free": served(0)},
        "routes": [
            {"model": "paid", "targets": ["paid"], "retry": {"attempts": 1}},
            {"model": "free", "targets": ["free"], "retry": {"attempts": 1}},
            {"model": "either", "targets": ["free"], "fallbacks": ["paid"], "retry": {"attempts": 1}},
        ],
        "keys": [
            {"name": "spender", "secret": KEY} | ({"limits": budget} if budget else {}),
            {"name": "open", "secret": OPEN_KEY},
        ],
    }


class Site:
    """A gateway on a disk that can be full, and every answer that it gave."""

    def __init__(self, gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.replies: list[Reply] = []
        self._gateway = gateway

    async def ask(self, model: str, key: str = KEY) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": "How is the weather?"}], "max_tokens": 20}
        reply = parsed(await self._gateway.ask(post(CHAT, body, key=key)))
        self.replies.append(reply)
        return reply

    async def until(self, holds: Callable[[Reply], bool]) -> Reply:
        """The first answer to a paid call that is so."""
        async with asyncio.timeout(WITHIN_S):
            while not holds(reply := await self.ask("paid")):  # noqa: ASYNC110 - another process gets there
                await asyncio.sleep(0.05)
        return reply

    def fill_disk(self) -> None:
        resource.prlimit(self._gateway.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._gateway.process.pid, resource.RLIMIT_FSIZE, unlimited)

    @property
    def served(self) -> list[str]:
        return sorted(reply.id for reply in self.replies if reply.status == 200)


async def test_with_a_budget_what_costs_waits_for_room_and_what_is_free_does_not(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(upstream.url, {"cost": "5 USD/month"}), tmp_path) as gateway:
            site = Site(gateway, upstream)
            assert (await site.ask("paid")).status == 200
            site.fill_disk()
            refused = await site.until(lambda reply: reply.status != 200)
            assert (refused.status, refused.error["code"]) == (503, "ledger_unavailable")
            assert "retry-after" in refused.headers
            sent = len(upstream.requests)
            assert [(await site.ask(model)).status for model in ("paid", "either", "free", "paid")] == [
                503,
                503,
                200,
                503,
            ]
            assert (await site.ask("paid", OPEN_KEY)).status == 503  # a budget was declared: `auto` holds for all
            assert len(upstream.requests) == sent + 1
            site.make_room()
            await site.until(lambda reply: reply.status == 200)
            assert [(await site.ask(model)).status for model in ("paid", "either", "free")] == [200, 200, 200]
            assert await gateway.stop() == 0
            assert sorted(row["request_id"] for row in gateway.ledger()) == site.served
            assert {row["outcome"] for row in gateway.ledger()} == {"ok"}
    told = [line["message"] for line in gateway.lines if "message" in line]
    assert any("takes nothing" in message for message in told)


async def test_without_a_budget_calls_go_on_and_every_row_is_written_once_there_is_room(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(upstream.url, None), tmp_path) as gateway:
            site = Site(gateway, upstream)
            site.fill_disk()
            for _ in range(10):
                assert (await site.ask("paid")).status == 200
                await asyncio.sleep(0.05)
            site.make_room()
            assert await gateway.stop() == 0
            assert sorted(row["request_id"] for row in gateway.ledger()) == site.served
            assert len(site.served) == 10
    assert not [line for line in gateway.text if "Traceback" in line]
