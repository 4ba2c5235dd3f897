"""Real gateways under limits, between crowds of callers and an upstream that counts what it generates.

    async with metered() as meter:
        async with gateway_process(limited(meter.url, limits=[...], keys={...}), folder) as gateway:
            crowd = await press([gateway], Caller(key, max_tokens=40), callers=64, calls=4)
            assert meter.tokens[key's model] <= ...
            await levels(gateway)

A body's `max_tokens` is what the upstream generates, or a part of it where `Meter.least` says so, and its prompts come
to `PROMPT_TOKENS`, which is less than any estimate of them: overruns are zero, so bounds are exact.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.end_to_end.proving_ground import Reply, parsed
from tests.gateway_process import KEY, post
from tests.scripted_upstream import ScriptedUpstream, chunk, events, forever, head, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.redis_servers import RedisServer
    from tests.scripted_upstream import Peer, Step

ADMIN_TOKEN = "an-admin-token-for-tests-only-0123456789"
CHAT = "/v1/chat/completions"
PROMPT_TOKENS = 5
MODEL = "gpt-4o-mini"
PRICE = {"input": 0.15, "output": 0.6}
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
DONE = chunk(events("[DONE]")) + chunk(b"")


@dataclass
class Meter:
    """An upstream that counts, by the model it is asked for. `least` is the smallest part of max_tokens generated.

    `answered` counts answers whose last byte is written, `tokens` what they came to; `opened` has every request.
    """

    url: str = ""
    pause_s: float = 0.02
    least: float = 1.0
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    opened: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    nanousd: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)
    held_back: asyncio.Event | None = None

    def answers(self) -> Step:
        async def step(peer: Peer) -> None:
            body = json.loads(peer.requests[-1].body)
            model = str(body["model"])
            self.opened[model] += 1
            self.under_way[model] += 1
            self.most_at_once[model] = max(self.most_at_once[model], self.under_way[model])
            try:
                await asyncio.sleep(self.pause_s)
                if self.held_back is not None:
                    await self.held_back.wait()
            finally:
                self.under_way[model] -= 1
            asked = int(body["max_tokens"])
            output = self.rng.randint(max(1, int(asked * self.least)), asked)
            usage = {
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": output,
                "total_tokens": PROMPT_TOKENS + output,
            }
            self.answered[model] += 1
            self.tokens[model] += PROMPT_TOKENS + output
            self.nanousd[model] += PROMPT_TOKENS * 150 + output * 600
            peer.writer.write(_streamed(usage) if body.get("stream") else _whole(usage))
            await peer.writer.drain()

        return step


def _whole(usage: dict[str, int]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})
    return head(content_type="application/json", content_length=str(len(body))) + body.encode()


def _streamed(usage: dict[str, int]) -> bytes:
    start = {"id": "c", "object": "chat.completion.chunk", "model": MODEL}
    said = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]
    end = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    pieces = [start | {"choices": said}, start | {"choices": end}, start | {"choices": [], "usage": usage}]
    return SSE + b"".join(chunk(events(json.dumps(piece))) for piece in pieces) + DONE


@asynccontextmanager
async def metered(**settings: Any) -> AsyncIterator[Meter]:
    """The upstream, listening."""
    meter = Meter(**settings)
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), meter.answers()))
        meter.url = upstream.url
        yield meter


@dataclass(frozen=True)
class Caller:
    """One virtual key with limits of its own; its calls go to a route and deployment of the same name."""

    name: str
    max_tokens: int = 20
    limits: Any = None
    org: str | None = None
    team: str | None = None
    user: str | None = None

    @property
    def secret(self) -> str:
        return f"sk-{self.name}-for-tests-only-0123456789"

    @property
    def model(self) -> str:
        """What the upstream is asked for: counted as gpt-4o-mini's tokens are."""
        return f"{MODEL}-{self.name}"

    @property
    def reserved_tokens(self) -> int:
        """What one call reserves once its prompt has been counted."""
        return self.max_tokens + 8

    @property
    def reserved_nanousd(self) -> int:
        return 8 * 150 + self.max_tokens * 600 + 2

    def ask(self, *, stream: bool = False, **more: Any) -> bytes:
        body = {"model": self.name, "max_tokens": self.max_tokens, "messages": [{"role": "user", "content": "hi"}]}
        return post(CHAT, body | {"stream": stream} | more, key=self.secret)


def limited(url: str, *callers: Caller, **policy: Any) -> dict[str, Any]:
    """A policy under which these callers have their keys, each a route of its own."""
    keys = [key_of(caller) for caller in callers]
    deployments = {c.name: {"provider": "scripted", "model": c.model, "price": PRICE} for c in callers}
    return {
        "providers": {"scripted": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": deployments,
        "routes": [{"model": c.name, "targets": [c.name], "retry": {"attempts": 1}} for c in callers],
        "keys": [*keys, {"name": "tests", "secret": KEY}],
        "secrets": {"admin_token": ADMIN_TOKEN},
    } | policy


def key_of(caller: Caller) -> dict[str, Any]:
    owners = {"limits": caller.limits, "org": caller.org, "team": caller.team, "user": caller.user}
    return {"name": caller.name, "secret": caller.secret} | {k: v for k, v in owners.items() if v is not None}


@dataclass
class Crowd:
    """What callers got. `statuses` counts answers by status."""

    replies: list[Reply] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    ended_s: float = 0.0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(reply.status for reply in self.replies)

    @property
    def admitted(self) -> int:
        return self.statuses[200]

    @property
    def lasted_s(self) -> float:
        return self.ended_s - self.began_s


async def press(
    gateways: Sequence[GatewayProcess], caller: Caller, *, callers: int, calls: int, until_s: float = 0.0
) -> Crowd:
    """So many callers at once, each making so many calls one after the other, and going on until then if they must.

    They take turns at the gateways; every third call is a stream.
    """
    crowd = Crowd()

    async def one(number: int) -> None:
        made = 0
        while made < calls or time.monotonic() < crowd.began_s + until_s:
            gateway = gateways[(number + made) % len(gateways)]
            asked = caller.ask(stream=(number + made) % 3 == 0)
            crowd.replies.append(parsed(await gateway.ask(asked, within_s=60.0)))
            made += 1

    await asyncio.gather(*(one(number) for number in range(callers)))
    crowd.ended_s = time.monotonic()
    return crowd


async def use_up(gateway: GatewayProcess, caller: Caller, most: int = 1000) -> list[Reply]:
    """One caller alone, until a call is refused. It was refused for want of room, since nothing else holds any."""
    await settled(gateway)
    replies = []
    for _ in range(most):
        replies.append(await ask(gateway, caller))
        if replies[-1].status == 429:
            return replies
        assert replies[-1].status == 200, replies[-1].body
    raise AssertionError(f"{most} calls were not refused")


async def ask(gateway: GatewayProcess, caller: Caller, **more: Any) -> Reply:
    return parsed(await gateway.ask(caller.ask(**more), within_s=30.0))


async def operator_sees(gateway: GatewayProcess, path: str) -> str:
    """The body of a GET on the operators' listener."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {ADMIN_TOKEN}", "Connection: close", "", ""]
    reply = parsed(await gateway.ask("\r\n".join(lines).encode(), port=gateway.admin_port))
    assert reply.status == 200, reply.body
    return reply.body.decode()


async def levels(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    """What operators see of limits, by holder and resource."""
    found = json.loads(await operator_sees(gateway, "/admin/v1/limits"))["limits"]
    return {f"{level['holder']} {level['resource']}": level for level in found}


async def metric(gateway: GatewayProcess, name: str) -> float:
    """The sum of a metric's samples."""
    lines = (await operator_sees(gateway, "/metrics")).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


async def edit(gateway: GatewayProcess, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the policy file and wait until the change is in force."""
    before = await generation(gateway)
    policy = yaml.safe_load(gateway.policy_file.read_text())
    change(policy)
    fresh = gateway.policy_file.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(policy))
    fresh.replace(gateway.policy_file)
    gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10.0):
        while True:
            if await generation(gateway) != before:
                return
            await asyncio.sleep(0.02)


async def generation(gateway: GatewayProcess) -> int:
    return int(json.loads(await operator_sees(gateway, "/deployments"))["generation"])


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for what another process brings about."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def settled(gateway: GatewayProcess, within_s: float = 10.0) -> dict[str, dict[str, Any]]:
    """The levels once nothing is held any more."""
    async with asyncio.timeout(within_s):
        while True:
            found = await levels(gateway)
            if not any(level["held"] for level in found.values()):
                return found
            await asyncio.sleep(0.02)


def accounts(redis: RedisServer) -> dict[str, bytes]:
    """Every account in Redis as it is kept, byte for byte, and the reservations that are remembered."""
    with closing(redis.client()) as client:
        names = sorted(client.scan_iter(count=10_000))
        return {name.decode(): client.dump(name) or b"" for name in names}


def rows_of(*folders: Path) -> list[dict[str, Any]]:
    """The ledgers' rows. Complete once the gateways have stopped."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        with closing(sqlite3.connect(folder / "ledger.db")) as connection:
            connection.row_factory = sqlite3.Row
            found += [dict(row) for row in connection.execute("SELECT * FROM attempts ORDER BY started_at_ms, rowid")]
    return found
