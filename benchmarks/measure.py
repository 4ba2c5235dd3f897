"""One round over every target: start it, load it, ask the kernel what it cost, stop it. A sample is one number."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bodies import COMPLETION, compact, request_body
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, Server, free_port, pinned, running
from benchmarks.targets import CHAT, KEY, Ports, Target, nginx_command

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """How long each part takes. Short runs are for trying the harness, not for quoting."""

    requests_s: float = 3.0
    streams_s: float = 5.0
    pair_s: float = 4.0
    soak_requests: int = 50_000


@dataclass(frozen=True)
class Upstreams:
    json_port: int
    stream_port: int

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}{CHAT}"


@contextmanager
def upstreams(folder: Path) -> Iterator[Upstreams]:
    """The two mocks on the load's core: nginx answers completions where it is installed, since it is the cheapest."""
    found = Upstreams(free_port(), free_port())
    script = [sys.executable, "-m", "benchmarks.mock", "--port"]
    fixed = [*script, str(found.json_port)]
    if shutil.which("nginx"):
        body = compact(COMPLETION).decode()
        site = f"server {{ listen 127.0.0.1:{found.json_port} backlog=4096; location / {{ return 200 '{body}'; }} }}"
        (folder / "mock").mkdir()
        fixed = nginx_command(folder / "mock", site)
    with (
        running(fixed, LOAD_CORE, folder / "mock-json.log") as json_mock,
        running([*script, str(found.stream_port)], LOAD_CORE, folder / "mock-stream.log") as stream_mock,
    ):
        json_mock.wait_until_answers(found.url(found.json_port), "", request_body("mock"))
        stream_mock.wait_until_answers(found.url(found.stream_port), "", request_body("mock", stream=True))
        yield found


def load(kind: str, *arguments: object) -> Row:
    """One run of `benchmarks.load` on the load's core."""
    command = [sys.executable, "-m", "benchmarks.load", kind, *map(str, arguments), "--key", KEY]
    done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True)
    row: Row = json.loads(done.stdout)
    return row


def requests(url: str, connections: int, seconds: float) -> Row:
    """A closed loop of completions, by wrk where it is installed (it costs less than what it measures)."""
    if not shutil.which("wrk"):
        return load("requests", url, "--connections", connections, "--seconds", seconds)
    with tempfile.NamedTemporaryFile() as body:
        body.write(request_body("mock"))
        body.flush()
        env = {**os.environ, "BENCH_BODY_FILE": body.name, "BENCH_KEY": KEY}
        script = str(Path(__file__).with_name("post.lua"))
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "-s", script, url]
        done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True, env=env)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


REST_S = 2.0


class Round:
    """One target's share of one round. `row` collects the samples under the names that the report uses."""

    def __init__(self, scale: Scale, direct: Upstreams) -> None:
        self.scale = scale
        self.direct = direct
        self.row: Row = {}

    def measure_direct(self) -> Row:
        """No proxy at all: what the load tool and the mocks take by themselves."""
        self._requests(self.direct.url(self.direct.json_port), None)
        self._streams(self.direct.url(self.direct.stream_port), None)
        return self.row

    def measure(self, target: Target, folder: Path) -> Row:
        ports = Ports(self.direct.json_port, self.direct.stream_port, free_port(), free_port(), free_port())
        started = target.prepare(folder, ports)
        url, stream_url = self.direct.url(started.json_port), self.direct.url(started.stream_port)
        with running(started.command, GATEWAY_CORE, folder / "log", started.env) as server:
            self.row["start_s"] = round(server.wait_until_answers(url, KEY, request_body("mock")), 3)
            self.row["idle_mb"] = server.pss_mb()
            requests(url, 16, 1)  # warm; the load tool leaves in the middle of calls, which Pointsman counts by itself:
            time.sleep(REST_S)  # let it load its tokenizer now, once, and not into the figures
            self._requests(url, server)
            self._streams(stream_url, server)
            self.row |= {name: value for name, value in self._pair(url).items() if name.startswith("added")}
            self.row["after_mb"] = server.pss_mb()
        return self.row

    def _requests(self, url: str, server: Server | None) -> None:
        for connections in (64, 16, 1):
            before = server.cpu_s() if server else 0
            seen = requests(url, connections, self.scale.requests_s)
            used_s = server.cpu_s() - before if server else 0
            self._count_bad(seen)
            self.row |= {
                f"cpu_ms_c{connections}": round(1000 * used_s / max(seen["requests"], 1), 4),
                f"rps_c{connections}": round(seen["requests"] / seen["seconds"], 1),
                f"p50_us_c{connections}": seen["p50_us"],
                f"p99_us_c{connections}": seen["p99_us"],
            }

    def _streams(self, url: str, server: Server | None) -> None:
        for connections in (64, 8):
            before = server.cpu_s() if server else 0
            given = ("--connections", connections, "--seconds", self.scale.streams_s, "--model", "mock-stream")
            seen = load("streams", url, *given)
            used_s = server.cpu_s() - before if server else 0
            self._count_bad(seen)
            self.row |= {
                f"cpu_us_chunk_c{connections}": round(1e6 * used_s / max(seen["chunks"], 1), 2),
                f"chunks_s_c{connections}": round(seen["chunks"] / seen["seconds"], 1),
                f"ttft_p50_us_c{connections}": seen["ttft_p50_us"],
                f"ttft_p99_us_c{connections}": seen["ttft_p99_us"],
                f"delay_p50_us_c{connections}": seen["delay_p50_us"],
            }

    def _pair(self, url: str) -> Row:
        return load("pair", self.direct.url(self.direct.json_port), url, "--seconds", self.scale.pair_s)

    def _count_bad(self, seen: Row) -> None:
        self.row["bad"] = self.row.get("bad", 0) + seen["bad"]


def soak(target: Target, direct: Upstreams, scale: Scale, folder: Path) -> Row:
    """Memory when idle, after `soak_requests` and after twice as many: flat, or a leak."""
    ports = Ports(direct.json_port, direct.stream_port, free_port(), free_port(), free_port())
    started = target.prepare(folder, ports)
    url = direct.url(started.json_port)
    with running(started.command, GATEWAY_CORE, folder / "log", started.env) as server:
        server.wait_until_answers(url, KEY, request_body("mock"))
        row: Row = {"idle_mb": server.pss_mb()}
        for name in ("first_mb", "second_mb"):
            given = ("--connections", 16, "--seconds", 120, "--count", scale.soak_requests)
            seen = load("requests", url, *given)
            row[name] = server.pss_mb()
            row["requests"] = row.get("requests", 0) + seen["requests"]
    return row
