"""A gateway full of canaries: each credential and each word that a caller says is one, and it is called in all ways.

`Ground.sinks` is all that came out of it, by where; `CONTROLS` is what must be found there, so that a sink that nobody
could read, or that stayed empty, is no proof of anything.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis import Redis

from gateway.commands.usage_export import export
from gateway.keys.virtual_keys import generate
from gateway.state.ledger.reports import Span
from tests.end_to_end.siege import CHAT, COMPLETION
from tests.gateway.otlp_receiver import OtlpReceiver
from tests.gateway_process import gateway_process, post
from tests.postgres_server import postgres_server
from tests.redis_servers import own_server
from tests.scripted_upstream import ScriptedUpstream, answer, chunked, events, request, reset, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.redis_servers import RedisServer
    from tests.scripted_upstream import Peer, Step

# What an operator keeps secret. Some look like secrets and some like words, which no pattern knows.
SECRETS = {
    "VIRTUAL_KEY": generate("test"),
    "OTHER_KEY": "freeformcanary-of-a-caller-0123456789",
    "PROVIDER_KEY": "sk-providercanary0123456789abcdef",
    "PROVIDER_HEADER": "providerheadercanary.plain.word",
    "ADMIN_TOKEN": "admincanary-0123456789abcdef-0123456789",
    "PEPPER": "peppercanary-0123456789abcdef-0123456789",
    "OTLP_TOKEN": "otlpcanary-0123456789abcdef",
    "CACHE_KEY": "cachekeycanary-0123456789abcdef-0123456789",
    "REDIS_PASSWORD": "redispasswordcanary",
    "LEDGER_PASSWORD": "ledgerpasswordcanary",
}
# What callers say. Patterns know some of these, and the others must not be repeated anywhere but where it is asked for.
SAID = {
    "prompt": "promptcanaryzebra",
    "answer": "answercanaryzebra",
    "tool argument": "argumentcanaryzebra",
    "user": "usercanary@example.com",
    "metadata": "metadatacanaryzebra",
    "header": "headercanaryzebra",
    "cookie": "cookiecanaryzebra",
    "query": "querycanaryzebra",
    "malformed": "malformedcanaryzebra",
    "upstream header": "upstreamheadercanaryzebra",
}
KNOWN_SHAPE = "sk-proj-promptcanary0123456789abcdef"
TRACED = frozenset({"prompt", "answer", "tool argument"})
"""What one key's traces may show, since it says so."""
PATHS = re.compile(r"\{(\w+)\}")


@dataclass
class Ground:
    gateway: GatewayProcess
    upstream: ScriptedUpstream
    receiver: OtlpReceiver
    redis: RedisServer
    ledger_url: str
    folder: Path
    sinks: dict[str, bytes] = field(default_factory=dict)
    request_ids: list[str] = field(default_factory=list)

    def note(self, sink: str, data: bytes | str) -> None:
        self.sinks[sink] = self.sinks.get(sink, b"") + (data if isinstance(data, bytes) else data.encode())

    async def call(self, body: object, *headers: str, key: str, path: str = CHAT) -> None:
        told = await self.gateway.ask(post(path, body, *headers, key=key))
        head, _, content = told.partition(b"\r\n\r\n")
        self.note("response headers", head)
        if not head.startswith(b"HTTP/1.1 200"):
            self.note("error bodies", content)
        if found := re.search(rb"x-request-id: (\S+)", head):
            self.request_ids.append(found[1].decode())


def policy(base_url: str, receiver_url: str, redis_port: int, log: str) -> dict[str, Any]:
    reference = {name: f"${{env:{name}}}" for name in SECRETS}
    return {
        "state": {"url": f"redis://:{SECRETS['REDIS_PASSWORD']}@127.0.0.1:{redis_port}"},
        "secrets": {"pepper": reference["PEPPER"], "admin_token": reference["ADMIN_TOKEN"]},
        "telemetry": {
            "log": log,
            "otlp": {"endpoint": receiver_url, "headers": {"authorization": f"Bearer {reference['OTLP_TOKEN']}"}},
            "content": {"default": "none", "max": "redacted"},
        },
        "cache": {"encryption_key": reference["CACHE_KEY"]},
        "providers": {
            "one": {
                "kind": "openai",
                "base_url": base_url,
                "api_key": reference["PROVIDER_KEY"],
                "headers": {"x-org-token": reference["PROVIDER_HEADER"]},
                "breaker": {"failures": 1000},
            }
        },
        "deployments": {"a": {"provider": "one", "model": "gpt-4o-mini"}},
        "routes": [
            {"model": "m", "targets": ["a"], "retry": {"attempts": 1}},
            {"model": "kept", "targets": ["a"], "retry": {"attempts": 1}, "cache": {"exact": {"ttl": "1h"}}},
        ],
        "keys": [
            {"name": "shown", "secret": reference["VIRTUAL_KEY"], "content": "redacted"},
            {"name": "silent", "secret": reference["OTHER_KEY"], "limits": [{"tokens": "100k/min"}]},
        ],
        "limits": [{"per": "key", "requests": "200/min"}],
    }


@asynccontextmanager
async def canary_ground(folder: Path, log: str) -> AsyncIterator[Ground]:
    """Everything has been called and looked at when this hands over, and the gateway has stopped."""
    plain = postgres_server().fresh_url()
    ledger_url = plain.replace("pointsman@", f"pointsman:{SECRETS['LEDGER_PASSWORD']}@")
    with own_server() as redis, OtlpReceiver() as receiver:
        redis.ask("CONFIG", "SET", "requirepass", SECRETS["REDIS_PASSWORD"])
        async with ScriptedUpstream() as upstream:
            upstream.otherwise(answers_well)
            made = policy(f"{upstream.url}/v1", receiver.endpoint, redis.port, log)
            made["ledger"] = {"url": ledger_url, "journal": str(folder / "journal")}
            async with gateway_process(made, folder, SECRETS) as gateway:
                ground = Ground(gateway, upstream, receiver, redis, ledger_url, folder)
                await good_calls(ground)
                await failed_calls(ground)
                await denied_calls(ground)
                await operators_look(ground)
                look_at_redis(ground)
                await stores_fail(ground)
                assert await gateway.stop() == 0
        ground.note("log and greeting", "".join(gateway.text))
        ground.note("traces", b"".join(one.SerializeToString() for one in receiver.requests))
        await asyncio.to_thread(look_at_ledger, ground, plain)
        await fail_to_start(ground, made)
        yield ground


def body(model: str = "m", **more: Any) -> dict[str, Any]:
    words = f"Please {SAID['prompt']} with {KNOWN_SHAPE}, for {SAID['user']}."
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"a": SAID["tool argument"]})},
    }
    return {
        "model": model,
        "user": SAID["user"],
        "metadata": {"a": SAID["metadata"]},
        "messages": [
            {"role": "user", "content": words},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": SAID["tool argument"]},
        ],
        **more,
    }  # fmt: skip


def answered() -> bytes:
    message = {"role": "assistant", "content": f"I {SAID['answer']} {KNOWN_SHAPE}."}
    told = json.dumps(COMPLETION | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return answer(told.encode(), headers=[("x-upstream", SAID["upstream header"]), ("set-cookie", SAID["cookie"])])


def streamed(*, whole: bool = True) -> bytes:
    deltas = [{"content": SAID["answer"]}, {"content": f" {KNOWN_SHAPE}"}]
    said = [events(json.dumps({"choices": [{"index": 0, "delta": delta}]})) for delta in deltas]
    last = events(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), "[DONE]")
    return chunked(*said, last) if whole else chunked(*said, events(json.dumps(echo())))


async def answers_well(peer: Peer) -> None:
    """One request, on a connection of its own."""
    await request()(peer)
    await send(streamed() if json.loads(peer.requests[-1].body).get("stream") else answered())(peer)


def echo() -> dict[str, Any]:
    """An upstream that repeats all that it was sent."""
    words = f"Bad key {SECRETS['PROVIDER_KEY']} in {SECRETS['PROVIDER_HEADER']} for {KNOWN_SHAPE} of {SAID['user']}"
    return {"error": {"message": words, "type": SECRETS["PROVIDER_KEY"], "code": KNOWN_SHAPE, "param": KNOWN_SHAPE}}


async def good_calls(ground: Ground) -> None:
    headers = (f"x-note: {SAID['header']}", f"Cookie: session={SAID['cookie']}", f"x-request-id: {SAID['header']}")
    for key in (SECRETS["VIRTUAL_KEY"], SECRETS["OTHER_KEY"]):
        for model in ("m", "kept", "kept"):
            await ground.call(body(model), *headers, key=key)
        await ground.call(body(stream=True), *headers, key=key)
    await ground.call(body(), key=SECRETS["VIRTUAL_KEY"], path=f"{CHAT}?api_key={SAID['query']}")


async def failed_calls(ground: Ground) -> None:
    error = json.dumps(echo()).encode()
    steps: list[Step] = [
        *(send(answer(error, status=status)) for status in (400, 401, 403, 404, 429, 500, 503)),
        send(answer(f"<html>{echo()}</html>".encode(), headers=[("content-type", "text/html")])),
        send(answer(error, headers=[("x-echo", SAID["upstream header"])])),
        send(f"HTTP/1.1 200 OK\r\n{SAID['upstream header']}\r\n\r\n".encode()),
        send(streamed(whole=False)),
        reset(),
    ]
    for step in steps:
        for stream in (False, True):
            ground.upstream.then(request(), step)
            await ground.call(body(stream=stream), key=SECRETS["OTHER_KEY"])


async def denied_calls(ground: Ground) -> None:
    key, malformed = SECRETS["OTHER_KEY"], SAID["malformed"]
    for secret in SECRETS.values():
        await ground.call(body(), key=f"{secret}x")
    await ground.call(body(), f"x-api-key: {SECRETS['VIRTUAL_KEY']}", key=key)
    await ground.call(body(), f"Authorization: Basic {SAID['header']}", key=key)
    bodies: list[object] = [
        f'{{"model": "m", "messages": [{{"role": "user", "content": "{malformed}'.encode(),
        {"model": "m", "messages": malformed},
        {"model": "m", "messages": [{"role": malformed, "content": [malformed]}], "temperature": malformed},
        {"model": "m", "messages": [], "stream": malformed, malformed: 1},
        body(max_tokens=10**9),
    ]
    for one in bodies:
        await ground.call(one, key=key)
    await ground.call(body("no-such-model"), key=key)
    await ground.call(body(), key=key, path=f"/v1/nowhere?token={SAID['query']}")


async def operators_look(ground: Ground) -> None:
    """Every GET that the admin API describes, with what its paths ask for, and the pages beside it."""
    described = json.loads(await _get(ground, "/admin/v1/openapi.json"))
    paths = [path for path, methods in described["paths"].items() if "get" in methods]
    keys = json.loads(await _get(ground, "/admin/v1/keys"))["keys"]
    known = {"request_id": ground.request_ids[0], "id": keys[0]["id"] if keys else "x", "org": "default"}
    for path in sorted({*paths, "/metrics", "/deployments", "/health/ready"}):
        filled = PATHS.sub(lambda name: known.get(name[1], "x"), path)
        ground.note("metrics" if path == "/metrics" else "admin API", await _get(ground, filled))
    for number in ground.request_ids:
        ground.note("decisions", await _get(ground, f"/admin/v1/decisions/{number}"))
    assert len(paths) >= 10


async def _get(ground: Ground, path: str) -> bytes:
    token = SECRETS["ADMIN_TOKEN"]
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    told = await ground.gateway.ask(head.encode(), port=ground.gateway.admin_port)
    ground.note("admin API", told)
    return told.partition(b"\r\n\r\n")[2]


def look_at_redis(ground: Ground) -> None:
    """Answers that are kept, limits, and all else that is there: names and contents as Redis writes them to disk."""
    with Redis(unix_socket_path=str(ground.redis.socket), password=SECRETS["REDIS_PASSWORD"]) as client:
        for key in client.keys("*"):
            ground.note("redis", b"\n" + key + b"\n")
            ground.note("redis", client.dump(key))


async def stores_fail(ground: Ground) -> None:
    """Stores that cut connections off make whoever talks to them say so."""
    ground.redis.kill()
    for key in (SECRETS["VIRTUAL_KEY"], SECRETS["OTHER_KEY"]):
        await ground.call(body("kept"), key=key)


def look_at_ledger(ground: Ground, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    server = postgres_server()
    names = server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", database)
    for table in names.split():
        ground.note("ledger", server.sql(f"TABLE {table}", database))
    for form in ("csv", "focus"):
        file = ground.folder / f"usage-{form}.csv"
        assert export(ground.ledger_url, form, file, Span(0, 1 << 52)) == 0
        ground.note("exports", file.read_bytes())
    for file in ground.folder.rglob("*"):
        if file.is_file() and file.name != "policy.yaml":
            ground.note("files", str(file).encode() + b"\n" + file.read_bytes())


async def fail_to_start(ground: Ground, made: dict[str, Any]) -> None:
    """A gateway that cannot start says why: with a policy that is wrong, and with a ledger that is not there."""
    away = {"url": f"postgresql://pointsman:{SECRETS['LEDGER_PASSWORD']}@127.0.0.1:1/ledger"}
    wrong = {"secrets": made["secrets"] | {"peper": SECRETS["PEPPER"]}}
    mistaken = {"keys": [{"name": "a", "secret": SECRETS["OTHER_KEY"], "content": SECRETS["VIRTUAL_KEY"]}]}
    # Some seconds pass until it gives its ledger up, which once is enough for.
    waits = [{"ledger": away}] if made["telemetry"]["log"] == "json" else []
    for number, change in enumerate((*waits, wrong, mistaken)):
        folder = ground.folder / f"start-{number}"
        folder.mkdir()
        try:
            async with gateway_process(made | change, folder, SECRETS):
                pass
        except AssertionError as error:
            ground.note("errors at the start", f"{error}\n")
