"""A whole gateway in this process behind real listeners on loopback, and its table of routes without one."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from aiohttp import ClientSession

from gateway.admin.table import Parts, all_routes
from gateway.app import Gateway
from gateway.config import Config, examine_text
from gateway.live_view import LiveView
from gateway.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TOKEN = "canary-admin-token-0123456789abcdef"
FILE_KEY = "sk-a-key-for-tests-only-0123456789"
ANYTHING: Any = None
NO_KEYS: Any = SimpleNamespace(stored=None, database=None)
ROUTES = all_routes(
    Parts(LiveView(ANYTHING, ANYTHING, ANYTHING, ANYTHING), NO_KEYS, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
)


class Told(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


class Listening(NamedTuple):
    """A running gateway, and where its two listeners are."""

    gateway: Gateway
    admin_url: str
    data_url: str
    session: ClientSession

    async def ask(self, method: str, path: str, body: object = None, token: str | None = TOKEN, **headers: str) -> Told:
        """On the operators' listener; header names with _ for -."""
        return await self._send(f"{self.admin_url}{path}", method, body, token, headers)

    async def call(self, method: str, path: str, key: str | None, body: object = None) -> Told:
        """On the data plane."""
        return await self._send(f"{self.data_url}{path}", method, body, key, {})

    async def _send(self, url: str, method: str, body: object, token: str | None, headers: dict[str, str]) -> Told:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        async with self.session.request(method, url, json=body, headers=given) as answer:
            text = await answer.text()
            shown = {name.lower(): value for name, value in answer.headers.items()}
            is_json = answer.content_type == "application/json" and bool(text)
            return Told(answer.status, json.loads(text) if is_json else text, shown)


def policy(folder: Path, **changes: object) -> Config:
    tree = {
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": "r", "targets": ["a"], "retry": {"attempts": 1}}],
        "keys": [{"name": "of-file", "secret": FILE_KEY}],
        "secrets": {"admin_token": TOKEN},
    } | changes
    Config.model_rebuild()
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


@asynccontextmanager
async def listening(folder: Path, **changes: object) -> AsyncIterator[Listening]:
    """Listens until the end of the block, and gives the process its logging back."""
    root, loop = logging.getLogger(), asyncio.get_running_loop()
    handlers, level = root.handlers[:], root.level
    gateway = await Gateway.start(await asyncio.to_thread(policy, folder, **changes))  # it looks at models' files
    servers = [Server(gateway.operations, loop), Server(gateway.edge, loop)]
    sockets = [await loop.create_server(server, "127.0.0.1", 0) for server in servers]
    urls = [f"http://127.0.0.1:{socket.sockets[0].getsockname()[1]}" for socket in sockets]
    gateway.lifecycle.started = True
    try:
        async with ClientSession() as session:
            yield Listening(gateway, urls[0], urls[1], session)
    finally:
        for socket, server in zip(sockets, servers, strict=True):
            socket.close()
            await server.shutdown(0.1)
        await gateway.close()
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def in_thread(folder: Path, **changes: object) -> Iterator[Listening]:
    """The same in a thread with a loop of its own, for callers that block."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Listening] = []

    async def serve() -> None:
        async with listening(folder, **changes) as here:
            found.append(here)
            ready.set()
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
