"""Phoenix (arize-phoenix) in a process of its own, from .venv-phoenix: what people will look at our traces with.

Loopback only. It binds its gRPC port to every address whatever PHOENIX_HOST says, so it is started by a few lines that
take the address out of what it asks gRPC for; a test looks at its sockets. What it has of agents, shells and telemetry
of its own is off, and it may fetch nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession

from tests.redis_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-phoenix" / "bin" / "python"
START_WITHIN_S = 110.0
LAUNCH = """
from grpc.aio._server import Server
bind = Server.add_insecure_port
Server.add_insecure_port = lambda self, address: bind(self, address.replace("[::]", "127.0.0.1"))
import sys
from phoenix.server.main import main
sys.argv = ["phoenix", "serve"]
sys.exit(main())
"""
OFF = {
    "PHOENIX_TELEMETRY_ENABLED": "false",
    "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    "PHOENIX_AGENTS_DISABLE_BASH": "true",
    "PHOENIX_ENABLE_MCP_SERVER": "false",
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    "PHOENIX_HOST": "127.0.0.1",
}


@dataclass
class Phoenix:
    endpoint: str
    process: asyncio.subprocess.Process

    async def spans(self, count: int, within_s: float = 60.0) -> list[dict[str, Any]]:
        """All spans of the default project, once there are so many."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(within_s), ClientSession() as session:
            while len(found) < count:
                async with session.get(f"{self.endpoint}/v1/projects/default/spans?limit=1000") as answer:
                    found = (await answer.json())["data"] if answer.status == 200 else []
                await asyncio.sleep(0.25)
        return found

    async def ask(self, query: str) -> dict[str, Any]:
        async with (
            ClientSession() as session,
            session.post(f"{self.endpoint}/graphql", json={"query": query}) as answer,
        ):
            told: dict[str, Any] = json.loads(await answer.text())
        assert "errors" not in told, told
        data: dict[str, Any] = told["data"]
        return data

    def listens_at(self) -> set[str]:
        """The addresses of this process's listening sockets, as the kernel has them: hexadecimal, little-endian."""
        links = (str(entry.readlink()) for entry in Path(f"/proc/{self.process.pid}/fd").iterdir())
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        rows = [
            row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@asynccontextmanager
async def phoenix_server(folder: Path) -> AsyncIterator[Phoenix]:
    port = free_port()
    ports = {"PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_WORKING_DIR": str(folder)}
    with (folder / "phoenix.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(PYTHON), "-c", LAUNCH,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **OFF, **ports},
            cwd=folder, stdout=log, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            phoenix = Phoenix(f"http://127.0.0.1:{port}", process)
            await _is_up(phoenix)
            yield phoenix
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(15):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _is_up(phoenix: Phoenix) -> None:
    async with asyncio.timeout(START_WITHIN_S), ClientSession() as session:
        while True:
            assert phoenix.process.returncode is None, "Phoenix ended while it started"
            try:
                async with session.get(f"{phoenix.endpoint}/healthz") as answer:
                    if answer.status == 200:
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.25)
