"""Rotel, an OpenTelemetry collector written by others, in a process of its own: what it could read of our spans.

It prints each span it takes. Free ports, loopback only, and no exporter: nothing goes on from it.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.redis_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_WITHIN_S = 10.0
FIELD = re.compile(r"^ +(Trace ID|Parent ID|ID|Name|Kind|Status code) +: (.*)$")
ATTRIBUTE = re.compile(r"^ {5}-> ([\w.]+): (Str|Int|Double|Bool|Slice)\((.*)\)$")
NAMED = re.compile(r"^ {5}-> (Name|Trace ID): (.+)$")


@dataclass
class Printed:
    """One span as Rotel printed it: its fields by name, attributes as texts."""

    fields: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@dataclass
class Rotel:
    endpoint: str
    lines: list[str] = field(default_factory=list)

    @property
    def spans(self) -> list[Printed]:
        found: list[Printed] = []
        for line in self.lines:
            if line.startswith("Span #"):
                found.append(Printed())
            elif not found or line.startswith("ResourceSpans"):
                continue
            elif match := FIELD.match(line):
                found[-1].fields[match[1]] = match[2].strip()
            elif match := ATTRIBUTE.match(line):
                found[-1].attributes[match[1]] = match[3]
            elif match := NAMED.match(line):
                (found[-1].events if match[1] == "Name" else found[-1].links).append(match[2])
        return found

    async def until(self, kinds: dict[str, int], within_s: float = 15.0) -> list[Printed]:
        """All that came, once there are so many of each of these kinds."""
        async with asyncio.timeout(within_s):
            while True:
                found = self.spans
                counts = Counter(span.fields.get("Kind", "") for span in found)
                if all(counts[f"SPAN_KIND_{kind}"] >= count for kind, count in kinds.items()):
                    return found
                await asyncio.sleep(0.05)

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.lines.append(line.decode(errors="replace").rstrip("\n"))


def agent() -> Path:
    """The program, which its package brings along."""
    spec = find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("rotel-agent")


@asynccontextmanager
async def rotel_collector(folder: Path) -> AsyncIterator[Rotel]:
    http, grpc = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        str(agent()), "start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed",
        "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
        "--pid-file", str(folder / "rotel.pid"), "--log-file", str(folder / "rotel.log"),
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    rotel = Rotel(f"http://127.0.0.1:{http}")
    reading = asyncio.create_task(rotel.read(process.stdout))
    try:
        await _listens(http)
        yield rotel
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _listens(port: int) -> None:
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
