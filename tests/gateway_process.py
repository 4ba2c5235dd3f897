"""A real gateway in a process of its own, on free ports, for tests from the outside.

    async with gateway_process(policy, folder) as gateway:      # or: with the `start_gateway` fixture
        answer = await gateway.ask(post("/v1/chat/completions", body))

`policy` is the YAML as a dict without `server`, `ledger` and `keys`; those are filled in. `KEY` is the caller's key.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "sk-a-key-for-tests-only-0123456789"
ROOT = Path(__file__).parent.parent
LISTENING = re.compile(r"listening on (https?)://127\.0\.0\.1:(\d+)/v1 .*http://127\.0\.0\.1:(\d+)")
START_WITHIN_S = 60.0


@dataclass
class GatewayProcess:
    """A running gateway. `lines` is what it logged so far, one parsed JSON object a line."""

    process: asyncio.subprocess.Process
    port: int
    admin_port: int
    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def policy_file(self) -> Path:
        return self.folder / "policy.yaml"

    async def ask(self, data: bytes, *, port: int | None = None, within_s: float = 15.0) -> bytes:
        """Send raw bytes, read until the gateway closes. Send `Connection: close`, or it will not."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(within_s):
                return await reader.read()
        finally:
            writer.close()

    async def admin(self, path: str) -> tuple[int, str]:
        """Status and body of a GET on the operators' listener."""
        answer = await self.ask(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), port=self.admin_port
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    def ledger(self) -> list[dict[str, Any]]:
        """Every row of the ledger, oldest first. Complete once `stop` has returned."""
        with closing(sqlite3.connect(self.folder / "ledger.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM attempts ORDER BY started_at_ms, rowid")]

    async def rows(self, count: int, within_s: float = 5.0) -> list[dict[str, Any]]:
        """The ledger once it has at least `count` rows."""
        async with asyncio.timeout(within_s):
            while len(rows := self.ledger()) < count:  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(0.02)
        return rows

    async def stop(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Signal the process and wait for its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            await self.process.wait()
            await asyncio.gather(*self._reading)
        return self.process.returncode if self.process.returncode is not None else -1

    async def _read_log(self) -> None:
        stream = self.process.stderr
        while stream is not None and (line := await stream.readline()):
            self.text.append(line.decode(errors="replace"))
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                continue

    async def _read_output(self) -> None:
        stream = self.process.stdout
        while stream is not None and (line := await stream.readline()):
            self.text.append(line.decode(errors="replace"))


def complete(policy: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "server": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "drain": "5s"} | policy.get("server", {}),
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "telemetry": {"log": "json"} | policy.get("telemetry", {}),
        "keys": policy.get("keys", [{"name": "tests", "secret": KEY}]),
        **{name: value for name, value in policy.items() if name not in ("server", "telemetry", "keys")},
    }


def one_route(base_url: str, **route: Any) -> dict[str, Any]:
    """A policy with one OpenAI-compatible provider and the route `m` to it; `route` adds to the route."""
    return {
        "providers": {"scripted": {"kind": "openai", "base_url": base_url, "api_key": "sk-upstream-canary-000"}},
        "deployments": {"a": {"provider": "scripted", "model": "gpt-4o-mini", "price": {"input": 0.15, "output": 0.6}}},
        "routes": [{"model": "m", "targets": ["a"], "retry": {"attempts": 1}, **route}],
    }


def post(path: str, body: object, *headers: str, key: str | None = KEY) -> bytes:
    """A whole POST request as bytes; `body` is JSON unless it is bytes already."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", "Connection: close", "Content-Type: application/json"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [*headers, f"Content-Length: {len(data)}", "", ""]
    return "\r\n".join(lines).encode() + data


@asynccontextmanager
async def gateway_process(
    policy: dict[str, Any], folder: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[GatewayProcess]:
    """Start, wait for the greeting, hand over; at the end terminate (and kill what does not listen)."""
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(complete(policy, folder)))
    async with pointsman_process(["serve", "--config", str(file)], folder, environ) as gateway:
        yield gateway


@asynccontextmanager
async def pointsman_process(
    words: list[str], folder: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[GatewayProcess]:
    """As `gateway_process`, by any command that listens and greets."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words,
        cwd=ROOT, env=os.environ | (environ or {}), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    gateway = GatewayProcess(process, 0, 0, folder)
    gateway._reading.append(asyncio.create_task(gateway._read_log()))
    try:
        async with asyncio.timeout(START_WITHIN_S):
            gateway.port, gateway.admin_port = await _ports(gateway)
        gateway._reading.append(asyncio.create_task(gateway._read_output()))
        yield gateway
    finally:
        try:
            await gateway.stop()
        except TimeoutError:
            await gateway.stop(signal.SIGKILL)


async def _ports(gateway: GatewayProcess) -> tuple[int, int]:
    stream = gateway.process.stdout
    while stream is not None and (line := await stream.readline()):
        gateway.text.append(line.decode())
        if found := LISTENING.search(gateway.text[-1]):
            return int(found[2]), int(found[3])
    raise AssertionError(f"the gateway did not start: {''.join(gateway.text)}")
