"""Canaries in every place that holds a credential, and a workload that provokes whoever could repeat one."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from gateway.keys.virtual_keys import generate
from tests.end_to_end.siege import CHAT, COMPLETED, GOOD_BODY
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, chunked, events, request, reset, send, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Step

# Upstream credentials come in two forms: one that any scrubber knows, and one that looks like a word.
CANARIES = {
    "UPSTREAM_KEY": "sk-upstreamcanary0123456789abcdef",
    "PLAIN_UPSTREAM_KEY": "upstreamcanary.plain.word",
    "UPSTREAM_HEADER": "headercanary.plain.word",
    "CALLER_KEY": generate("test"),
    "FREE_KEY": "freeformcanary-of-a-caller-0123456789",
    "PEPPER": "peppercanary-0123456789abcdef-0123456789",
    "ADMIN_TOKEN": "admincanary-0123456789abcdef-0123456789",
    "OTLP_TOKEN": "otlpcanary-0123456789abcdef",
}
DELTA = json.dumps({"choices": [{"index": 0, "delta": {"content": "hi"}}]})
UPSTREAM_KEYS = {"known": CANARIES["UPSTREAM_KEY"], "plain": CANARIES["PLAIN_UPSTREAM_KEY"]}


def policy(base_url: str, collector_url: str) -> dict[str, Any]:
    reference = {name: f"${{env:{name}}}" for name in CANARIES}
    headers = {"x-org-token": reference["UPSTREAM_HEADER"]}
    provider = {"kind": "openai", "base_url": base_url, "headers": headers}
    return {
        "providers": {
            "known": provider | {"api_key": reference["UPSTREAM_KEY"]},
            "plain": provider | {"api_key": reference["PLAIN_UPSTREAM_KEY"]},
        },
        "deployments": {name: {"provider": name, "model": "gpt-4o-mini"} for name in ("known", "plain")},
        "routes": [{"model": name, "targets": [name], "retry": {"attempts": 1}} for name in ("known", "plain")],
        "keys": [{"name": name, "secret": reference[name]} for name in ("CALLER_KEY", "FREE_KEY")],
        "secrets": {"pepper": reference["PEPPER"], "admin_token": reference["ADMIN_TOKEN"]},
        "telemetry": {
            "otlp": {"endpoint": collector_url, "headers": {"authorization": f"Bearer {reference['OTLP_TOKEN']}"}}
        },
    }


def provocations(key: str) -> list[tuple[Step, ...]]:
    """What an upstream may do with a key that it was sent: say it again, wherever an answer has room for it."""
    echo = f"Invalid token {key} or Bearer {key} or {CANARIES['UPSTREAM_HEADER']}!"
    error = json.dumps({"error": {"message": echo, "type": key, "code": key, "param": key}})
    return [
        *((send(answer(error.encode(), status=status)),) for status in (400, 401, 403, 404, 422, 429, 500, 503)),
        (send(answer(echo.encode(), status=400, headers=[("content-type", "text/plain")])),),
        (send(answer(f"<html>{echo}</html>".encode(), headers=[("content-type", "text/html")])),),
        (send(answer(error.encode())),),
        (send(answer(b"{}", headers=[("x-echo", echo), ("set-cookie", echo)])),),
        (send(chunked(events(error))),),
        (send(chunked(events(DELTA), events(error))),),
        (send(f"HTTP/1.1 200 OK\r\n{echo}\r\n\r\n".encode()),),
        (reset(),),
    ]


def forms(secret: str) -> set[bytes]:
    """The secret as it is, and as base64 (wherever it begins), hexadecimal or a URL would have it."""
    found = {secret.encode(), secret.encode().hex().encode(), urllib.parse.quote(secret, safe="").encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * shift + secret.encode())[4:-4])
    return found


def leaks(sink: str, data: bytes) -> list[str]:
    return [f"{name} in {sink}" for name, secret in CANARIES.items() if any(form in data for form in forms(secret))]


async def work(gateway: GatewayProcess, upstream: ScriptedUpstream) -> dict[str, bytes]:
    """What callers were told, by what they did."""
    told: dict[str, bytes] = {}
    for model, key in UPSTREAM_KEYS.items():
        for number, steps in enumerate(provocations(key)):
            for stream in (False, True):
                upstream.then(request(), *steps)
                data = post(CHAT, GOOD_BODY | {"model": model, "stream": stream}, key=CANARIES["CALLER_KEY"])
                told[f"provocation {number} {model} {stream}"] = await gateway.ask(data)
    upstream.otherwise(serve(COMPLETED))
    for name, secret in CANARIES.items():
        sent = {
            "model": "known",
            "user": secret,
            "metadata": {"a": secret},
            "messages": [{"role": "user", "content": secret}],
        }
        headers = (f"x-secret: {secret}", f"Cookie: {secret}", f"x-request-id: {secret}", f"traceparent: {secret}")
        told[f"{name} as key"] = await gateway.ask(post(CHAT, GOOD_BODY | {"model": "known"}, key=secret))
        told[f"{name} in query"] = await gateway.ask(post(f"{CHAT}?key={secret}", GOOD_BODY, key=None))
        told[f"{name} in body"] = await gateway.ask(post(CHAT, sent, key=CANARIES["FREE_KEY"]))
        told[f"{name} in headers"] = await gateway.ask(post(CHAT, GOOD_BODY, *headers, key=CANARIES["FREE_KEY"]))
        told[f"{name} in path"] = (await gateway.ask(post(f"/v1/{secret}", b"", key=None))).partition(b"\r\n\r\n")[0]
    return told


async def operators_view(gateway: GatewayProcess) -> dict[str, bytes]:
    token = CANARIES["ADMIN_TOKEN"]
    told = {}
    for path in ("/metrics", "/deployments", "/health/ready", "/health/live", "/nowhere"):
        for given in (token, f"{token}x"):
            head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {given}\r\n\r\n"
            told[f"{path} {given == token}"] = await gateway.ask(head.encode(), port=gateway.admin_port)
    return told


def ledger_files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if "ledger.db" in str(file) and file.is_file()}


def spoil(file: Path) -> None:
    """A reload must fail, and say why."""
    file.write_text(file.read_text().replace("gpt-4o-mini", ""))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def test_no_credential_appears_anywhere(tmp_path: Path) -> None:
    collector_echo = answer(f"bad token {CANARIES['OTLP_TOKEN']}".encode(), status=400)
    async with ScriptedUpstream() as upstream, ScriptedUpstream() as collector:
        collector.otherwise(serve(collector_echo))
        made = policy(f"{upstream.url}/v1", collector.url)
        async with gateway_process(made, tmp_path, CANARIES) as gateway:
            sinks = await work(gateway, upstream)
            await until(lambda: bool(collector.requests))
            sinks |= await operators_view(gateway)
            spoil(gateway.policy_file)
            await until(lambda: any("not reloaded" in line for line in gateway.text))
            assert await gateway.stop() == 0
        sinks["log and greeting"] = "".join(gateway.text).encode()
        sinks |= ledger_files(tmp_path)
        sinks["traces"] = b"".join(received.body for received in collector.requests)
    assert len(upstream.requests) >= 60
    assert gateway.ledger(), "there was something to leak into"
    assert [leak for sink, data in sinks.items() for leak in leaks(sink, data)] == []
    assert b"Traceback" not in sinks["log and greeting"]
