"""Budgets in the shared store against the ledger: they agree whatever calls come to, and where they do not, it shows.

The workers here hold the one against the other every second and a half instead of every minute.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

from policies.limits import Kind
from tests.end_to_end.proving_ground import Reply, parsed
from tests.gateway_process import KEY, ROOT, GatewayProcess, gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.redis_servers import own_server
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.redis_servers import RedisServer

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
EVERY_S = (
    1.5  # longer than the second in which workers tell their numbers: a drift stands for one round, and must be told
)
WITHIN_S = 20.0
OFTEN = f"import gateway.state.limits.reconcile as reconcile\nreconcile.EVERY_S = {EVERY_S}\n"
LIMITS = {"cost": "5 USD/month", "tokens": "1M/month", "requests": "10k/month"}
DRIFT, CORRECTIONS = "pointsman_limit_drift_ratio", "pointsman_limit_corrections_total"
SENT = 13
"""Calls of one `traffic` that come as far as an upstream."""
ACCOUNT = struct.Struct(">ddddB")
"""As Redis keeps one: used, since when, held, until when, kind."""


def policy(url: str, redis_url: str) -> dict[str, Any]:
    def served(model: str) -> dict[str, Any]:
        return {"provider": "p", "model": model, "price": {"input": 0.25, "output": 2.0}}

    models = ("gpt-5-mini", "status-500", "status-400", "flaky", "endless", "complains", "text-embedding-3-small")
    routes = [{"model": model, "targets": [model], "retry": {"attempts": 2}} for model in models]
    return {
        "server": {"workers": 2},
        "state": {"url": redis_url},
        "providers": {"p": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": {model: served(model) for model in models},
        "routes": [*routes, {"model": "falls", "targets": ["status-500"], "fallbacks": ["gpt-5-mini"]}],
        "keys": [{"name": "spender", "secret": KEY, "limits": LIMITS}],
        "limits": [{"per": "route", "tokens": "2M/day"}, {"per": "provider", "tokens": "3M/day"}],
    }


async def ask(gateway: GatewayProcess, model: str, **more: object) -> Reply:
    if model.startswith("text-embedding"):
        return parsed(await gateway.ask(post(EMBEDDINGS, {"model": model, "input": "How is the weather?"})))
    return parsed(await gateway.ask(chat(model, **more)))


def chat(model: str, **more: object) -> bytes:
    messages = [{"role": "user", "content": "How is the weather?"}]
    return post(CHAT, {"model": model, "messages": messages, "max_tokens": 30, **more})


async def leave(gateway: GatewayProcess, model: str) -> None:
    """A stream whose caller goes away after its first content."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(chat(model, stream=True))
    await reader.readuntil(b'"content"')
    writer.close()


async def traffic(gateway: GatewayProcess) -> None:
    """Calls that end in every way there is."""
    whole = ("gpt-5-mini", "falls", "status-500", "status-400", "flaky", "text-embedding-3-small", "gpt-5-mini")
    await asyncio.gather(
        *(ask(gateway, model) for model in whole),
        *(ask(gateway, "gpt-5-mini", stream=True) for _ in range(3)),
        ask(gateway, "falls", stream=True),
        ask(gateway, "gpt-5-mini", max_tokens="many"),
        *(leave(gateway, "endless") for _ in range(2)),
    )


async def metric(gateway: GatewayProcess, name: str) -> float:
    _, text = await gateway.admin("/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.partition(" ")[2])


async def until(gateway: GatewayProcess, name: str, holds: Callable[[float], bool]) -> float:
    async with asyncio.timeout(WITHIN_S):
        while not holds(value := await metric(gateway, name)):  # noqa: ASYNC110 - another process gets there
            await asyncio.sleep(0.02)
    return value


def kept(redis: RedisServer) -> dict[str, float]:
    """What is used of each calendar account, as Redis has it, by tenant and name."""
    found = {}
    for key in sorted(redis.keys()):
        tenant, is_account, name = key.partition("{t:")[2].partition("}:a:")
        if is_account and (account := ACCOUNT.unpack(redis.ask("GET", key)))[4] == Kind.CALENDAR:
            found[f"{tenant}|{name}"] = account[0]
    return found


def tamper(redis: RedisServer, name: str, used: float) -> None:
    (key,) = [key for key in sorted(redis.keys()) if key.endswith(f"}}:a:{name}")]
    account = ACCOUNT.unpack(redis.ask("GET", key))
    redis.ask("SET", key, ACCOUNT.pack(used, *account[1:]), "KEEPTTL")


def charged(gateway: GatewayProcess) -> dict[str, float]:
    with closing(sqlite3.connect(gateway.folder / "ledger.db")) as connection:
        return dict(connection.execute("SELECT account, sum(amount) FROM charges GROUP BY account").fetchall())


async def test_store_and_ledger_agree_and_a_counter_that_was_changed_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(OFTEN)
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    with own_server() as redis:
        async with ScriptedUpstream() as upstream:
            upstream.otherwise(forever(speaks_openai(asyncio.Event())))
            async with gateway_process(policy(upstream.url, redis.url), tmp_path, environ) as gateway:
                for _ in range(4):
                    await traffic(gateway)
                    await asyncio.sleep(EVERY_S / 2)
                await until(gateway, "pointsman_limit_reservations", lambda held: held == 0)
                await asyncio.sleep(4 * EVERY_S)
                spent = charged(gateway)
                assert kept(redis) == spent
                assert spent["default|own.key.requests.month:spender"] == 4 * SENT
                assert await metric(gateway, CORRECTIONS) == 0
                cost = spent["default|own.key.cost.month:spender"]
                tamper(redis, "own.key.cost.month:spender", 10 * cost)
                assert await until(gateway, DRIFT, lambda drift: drift > 0) == 0.9
                await until(gateway, CORRECTIONS, lambda count: count == 1)
                assert kept(redis) == spent
                await until(gateway, DRIFT, lambda drift: drift == 0)
                tamper(redis, "provider.tokens.day:p", 0)
                await until(gateway, CORRECTIONS, lambda count: count == 2)
                assert kept(redis) == spent
    told = [line["message"] for line in gateway.lines if "in the limit store" in line.get("message", "")]
    assert f"account default|own.key.cost.month:spender counts {10 * cost} in the limit store" in told[0]
