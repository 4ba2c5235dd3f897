"""A storm of calls that end in every way there is, and afterwards three sets of books that must agree: what the limit
store says was used, what the ledger's rows say they were charged, and what the upstream knows that it generated.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.end_to_end.limited_ground import ADMIN_TOKEN, PRICE, operator_sees, settled
from tests.gateway_process import gateway_process, post
from tests.openai_upstream import BUILDERS, embeddings
from tests.scripted_upstream import ScriptedUpstream, answer, chunk, chunked, forever, head, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

CALLS = 240
CALLERS = 12
HI = [{"role": "user", "content": "hi"}]
KEYS = ("one", "two", "loner")
PATHS = ("chat/completions", "completions", "responses", "embeddings")
LIMIT_OF = {"chat/completions": "max_tokens", "completions": "max_tokens", "responses": "max_output_tokens"}
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BAD_BODIES = (b"", b"{", b'{"model":"nobody"}', b'{"model":"plain","messages":[]}', b"[" * 5000)
GOOD, SLOW, CUT, UNCOUNTED, REFUSED, BROKEN, SILENT = range(7)
WHIMS = (GOOD,) * 8 + (SLOW,) * 3 + (CUT, UNCOUNTED, REFUSED, BROKEN, SILENT)


@dataclass
class Weather:
    """An upstream of moods. `generated` has, for each attempt it heard of, what it told in a whole answer."""

    rng: random.Random
    generated: defaultdict[str, list[tuple[int, int] | None]] = field(default_factory=lambda: defaultdict(list))

    def blows(self) -> Step:
        async def step(peer: Peer) -> None:
            received = peer.requests[-1]
            heard = self.generated[received.headers["x-request-id"]]
            number = len(heard)
            heard.append(None)
            path, body = received.path.removeprefix("/v1/"), json.loads(received.body)
            whim = self.rng.choice(WHIMS)
            if whim in (SLOW, SILENT):
                await asyncio.sleep(0.05 if whim == SLOW else 0.3)
            if whim == REFUSED:
                peer.writer.write(answer(b'{"error":{"message":"no"}}', status=self.rng.choice((400, 429, 500, 503))))
            elif whim == BROKEN:
                peer.writer.write(SSE[:20])  # without a byte, a connection used before passes for one that sat idle
                await peer.writer.drain()
                peer.writer.transport.abort()
                return
            else:
                usage = (7, self.rng.randint(1, body[LIMIT_OF[path]]) if path in LIMIT_OF else 0)
                told, whole = _told(path, body, None if whim == UNCOUNTED else usage, cut=whim == CUT)
                heard[number] = usage if whole and whim != UNCOUNTED else None
                peer.writer.write(told)
            await peer.writer.drain()

        return step


def _told(path: str, body: dict[str, Any], usage: tuple[int, int] | None, *, cut: bool) -> tuple[bytes, bool]:
    """The bytes of an answer, and whether it is all there."""
    if path == "embeddings":
        return answer(json.dumps(_with(embeddings(body), usage)).encode()), True
    build, pieces_of, content_at = BUILDERS[path]
    if not body.get("stream"):
        return answer(json.dumps(_with(build(body), usage)).encode()), True
    pieces = [_patched(piece, usage) for piece in pieces_of(body)]
    if cut:
        return SSE + b"".join(map(chunk, pieces[: content_at + 1])) + chunk(b""), False
    return chunked(*pieces), True


def _patched(piece: bytes, usage: tuple[int, int] | None) -> bytes:
    """An event with the usage replaced that it or its response holds."""
    lines = []
    for line in piece.split(b"\n"):
        if line.startswith(b"data: {"):
            told = json.loads(line[6:])
            inner = told["response"] if isinstance(told.get("response"), dict) else told
            if inner.get("usage"):
                _with(inner, usage)
            line = b"data: " + json.dumps(told).encode()  # noqa: PLW2901 - a line, with what it tells changed
        lines.append(line)
    return b"\n".join(lines)


def _with(told: dict[str, Any], usage: tuple[int, int] | None) -> dict[str, Any]:
    if usage is None:
        told["usage"] = None
    else:
        names = ("input_tokens", "output_tokens") if "output" in told else ("prompt_tokens", "completion_tokens")
        told["usage"] = {**dict(zip(names, usage, strict=True)), "total_tokens": sum(usage)}
    return told


def policy(url: str) -> dict[str, Any]:
    """Every scope and resource, some of them tight enough to say no; retries, a fallback, a queue and drains."""
    deployment = {"provider": "scripted", "model": "gpt-4o-mini", "price": PRICE}
    route = {"retry": {"attempts": 2}, "timeouts": {"first_token": "200ms", "idle": "200ms", "total": "1s"}}
    return {
        "providers": {"scripted": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": {
            "first": deployment | {"limits": [{"concurrent": 4}, {"tokens": "3k/month"}]},
            "second": deployment,
            "drained": deployment | {"on_disconnect": "drain"},
        },
        "routes": [
            {"model": "plain", "targets": ["first"], "fallbacks": ["second"], **route},
            {"model": "queued", "targets": ["second"], "queue": {"max_wait": "1s", "max_size": 3}, **route},
            {"model": "drained", "targets": ["drained"], "fallbacks": ["first"], **route},
        ],
        "keys": [
            {"name": name, "secret": secret(name), **({} if name == "loner" else {"team": "crew", "user": "ann"})}
            for name in KEYS
        ],
        "limits": [
            {"per": "key", "requests": "90/month", "tokens": "9k/month", "cost": "0.01 USD/month", "concurrent": 4},
            {"per": "user", "output_tokens": "20k/day"},
            {"per": "team", "tokens": "12k/month", "when": "request.stream"},
            {"per": "org", "cost": "$1/month", "input_tokens": "50k/week"},
            {"per": "route", "requests": "1000/min", "tokens": "100k/min"},
        ],
        "secrets": {"admin_token": ADMIN_TOKEN},
    }


def secret(name: str) -> str:
    return f"sk-{name}-for-tests-only-0123456789"


def asked(rng: random.Random) -> bytes:
    """A call, sometimes a bad one."""
    path, model, name = rng.choice(PATHS), rng.choice(("plain", "queued", "drained")), rng.choice(KEYS)
    key = secret(name) if rng.random() < 0.95 else "sk-nobodys-key-0123456789"
    if rng.random() < 0.08:
        return post(f"/v1/{path}", rng.choice(BAD_BODIES), key=key)
    body: dict[str, Any] = {"model": model}
    if path == "chat/completions":
        body |= {"messages": HI, "n": rng.choice((None, 1, 2))}
    else:
        body |= {"prompt" if path == "completions" else "input": "hi"}
    if path in LIMIT_OF:
        body |= {LIMIT_OF[path]: rng.choice((5, 40, 200, 100_000)), "stream": rng.random() < 0.5}
    return post(f"/v1/{path}", body, key=key)


async def call(gateway: GatewayProcess, data: bytes, rng: random.Random) -> int:
    """Sent whole or in two parts; heard out, or left at any moment. The status, 0 where none was heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    part = rng.randint(1, len(data)) if rng.random() < 0.2 else len(data)
    patience_s = rng.choice((5.0, 5.0, 5.0, 0.0, 0.005, 0.02, 0.1))
    try:
        async with asyncio.timeout(patience_s):
            writer.write(data[:part])
            if part < len(data):
                await asyncio.sleep(0.01)
                writer.write(data[part:])
            answered = await reader.read()
    except (TimeoutError, ConnectionError):
        return 0
    finally:
        writer.transport.abort()
    return int(answered.split(b" ", 2)[1]) if answered else 0


async def storm(gateway: GatewayProcess, rng: random.Random) -> Counter[int]:
    statuses: Counter[int] = Counter()

    async def one() -> None:
        for _ in range(CALLS // CALLERS):
            statuses[await call(gateway, asked(rng), rng)] += 1

    await asyncio.gather(*(one() for _ in range(CALLERS)))
    return statuses


async def test_store_ledger_and_upstream_agree_after_a_storm_of_calls(tmp_path: Path) -> None:
    weather = Weather(random.Random(11))
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), weather.blows()))
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            statuses = await storm(gateway, random.Random(5))
            await settled(gateway)
            levels = json.loads(await operator_sees(gateway, "/admin/v1/limits"))["limits"]
            assert await gateway.stop() == 0
    assert statuses.keys() >= {0, 200, 400, 401, 429}, statuses
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in gateway.ledger():
        rows[row["request_id"]].append(row)
    charged: Counter[tuple[str, float]] = Counter()
    for of_call in rows.values():
        assert sorted(row["attempt"] for row in of_call) == list(range(1, len(of_call) + 1))
        for account, window_s, amount in (c for row in of_call for c in json.loads(row["charges"] or "[]")):
            charged[account.partition("|")[2], window_s] += amount
    _agree_with_upstream(rows, weather)
    _agree_with_store(charged, levels)
    broken = [line for line in gateway.lines if line.get("level") == "error" and "request_id" not in line]
    assert not broken, broken[0]  # what a call came to has a line of its own


def _agree_with_upstream(rows: dict[str, list[dict[str, Any]]], weather: Weather) -> None:
    """Each attempt that was heard of has its row; what a whole answer told is there to the token, else it is marked."""
    exact = 0
    for call_id, heard in weather.generated.items():
        of_call = sorted(rows[call_id], key=lambda row: row["attempt"])
        assert len(heard) <= len(of_call), call_id
        told = [usage for usage in heard if usage is not None]
        for row in of_call:
            if row["outcome"] == "ok" and not row["estimated"]:
                assert (row["input_tokens"], row["output_tokens"]) in told, (row, heard)
                exact += 1
            elif row["cost_nanousd"]:
                assert row["estimated"] or (row["input_tokens"], row["output_tokens"]) in told, (row, heard)
    assert exact > CALLS // 8


def _agree_with_store(charged: Counter[tuple[str, float]], levels: list[dict[str, Any]]) -> None:
    """Every calendar account stands where the rows' charges add up to, and none above its limit."""
    seen = set()
    for level in levels:
        account = f"{level['limit']}:{level['holder']}"
        if isinstance(level["window"], str):
            seen.add(account)
            now_s = max((window_s for name, window_s in charged if name == account), default=0.0)
            assert level["used"] == charged[account, now_s], (account, level, charged)
            assert level["used"] <= level["amount"], (account, level)
    assert {account for account, _ in charged} <= seen
    assert len(seen) > len(KEYS)
