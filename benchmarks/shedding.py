"""More calls than a gateway can serve, then fewer again: how many are served, how soon the others hear that they are
not, and how long until all is well. Calls come at their time, whether earlier ones were answered or not.

python -m benchmarks.shedding --seconds 8
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.bodies import request_body
from benchmarks.load import Caller, connect, percentile_us, request_bytes
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, Server, free_port, running

KEYS = {priority: f"sk-{priority}-priority-for-tests-0123456789" for priority in ("low", "normal", "high")}
MIX = ("low", "normal", "normal", "high", "low", "normal", "normal", "high", "low", "normal")
DEPLOYMENTS = ("a", "b", "c", "d", "e", "f")  # each has 256 connections, and none of them shall be what is scarce
GOOD_WITHIN_S = 1.0
GIVE_UP_S = 3.0
TICK_S = 0.002
CALLERS = 4_000
WINDOW_S = 0.25
RAMP_S = 3.0


@dataclass
class Phase:
    """What became of the calls of one part of the run, by when they were due."""

    name: str
    rate: float
    before: float = 0.0
    ramp_s: float = 0.0
    began_s: float = 0.0
    took_ns: dict[str, list[int]] = field(default_factory=lambda: {"good": [], "late": [], "shed": []})
    lost: int = 0
    served: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    windows: dict[int, Counter[str]] = field(default_factory=dict)

    def add(self, priority: str, due_s: float, kind: str, took_s: float) -> None:
        window = self.windows.setdefault(int((due_s - self.began_s) / WINDOW_S), Counter())
        window[kind] += 1
        if kind == "lost":
            self.lost += 1
            return
        self.took_ns[kind].append(int(took_s * 1e9))
        self.served[priority] += kind == "good"

    def row(self, seconds: float) -> dict[str, Any]:
        good, shed = self.took_ns["good"], self.took_ns["shed"]
        return {
            "phase": self.name,
            "offered/s": round(self.rate),
            "good/s": round(len(good) / seconds),
            "good p50 ms": percentile_us(good, 50) / 1000,
            "good p99 ms": percentile_us(good, 99) / 1000,
            "shed": len(shed),
            "shed p50 ms": percentile_us(shed, 50) / 1000,
            "shed p99 ms": percentile_us(shed, 99) / 1000,
            "late": len(self.took_ns["late"]),
            "lost": self.lost,
            "served": {name: round(self.served[name] / max(1, asked), 2) for name, asked in self.asked.items()},
        }

    def well_after_s(self) -> float:
        """When the last window ended in which a call in a hundred was not served well."""
        bad = [number for number, kinds in self.windows.items() if kinds["good"] < 0.99 * kinds.total()]
        return (max(bad) + 1) * WINDOW_S if bad else 0.0


class OpenLoop:
    """Callers that are free are used again; when all of them wait, a call is not even sent and counts as lost."""

    def __init__(self, url: str, body: bytes) -> None:
        self.url = url
        self.requests = {name: request_bytes(url, key, body) for name, key in KEYS.items()}
        self.free: list[Caller] = []
        self.waiting: dict[Caller, tuple[Phase, str, float]] = {}

    async def run(self, phase: Phase, seconds: float) -> None:
        phase.began_s = start = time.monotonic()
        owed, last, number = 0.0, start, 0
        while (now := time.monotonic()) < start + seconds:
            rise = min(1.0, (now - start) / phase.ramp_s) if phase.ramp_s else 1.0
            owed += (now - last) * (phase.before + (phase.rate - phase.before) * rise)
            for _ in range(int(owed)):
                self.send(phase, MIX[number % len(MIX)], now)
                number += 1
            owed, last = owed % 1.0, now
            self.give_up(now - GIVE_UP_S)
            await asyncio.sleep(TICK_S)

    async def open(self) -> None:
        """All connections beforehand: a handshake costs the gateway more than a refusal."""
        for _ in range(CALLERS // 50):
            opened = await asyncio.gather(*[connect(self.url, b"", self.finished) for _ in range(50)])
            self.free += opened

    def send(self, phase: Phase, priority: str, due_s: float) -> None:
        phase.asked[priority] += 1
        while self.free:
            caller = self.free.pop()
            if not caller.lost:
                self.use(caller, phase, priority, due_s)
                return
        phase.add(priority, due_s, "lost", 0.0)

    def use(self, caller: Caller, phase: Phase, priority: str, due_s: float) -> None:
        caller.request = self.requests[priority]
        self.waiting[caller] = (phase, priority, due_s)
        caller.send()

    def finished(self, caller: Caller) -> None:
        found = self.waiting.pop(caller, None)
        if found is None:
            return
        phase, priority, due_s = found
        took_s = time.monotonic() - due_s
        if caller.lost:
            phase.add(priority, due_s, "lost", took_s)
            return
        if caller.good:
            phase.add(priority, due_s, "good" if took_s <= GOOD_WITHIN_S else "late", took_s)
        else:
            phase.add(priority, due_s, "shed" if caller.received.startswith(b"HTTP/1.1 503") else "lost", took_s)
        self.free.append(caller)

    def give_up(self, before_s: float) -> None:
        for caller, (phase, priority, due_s) in list(self.waiting.items())[:200]:
            if due_s > before_s:
                return
            del self.waiting[caller]
            phase.add(priority, due_s, "lost", 0.0)
            if caller.transport is not None:
                caller.transport.abort()


async def peak(url: str, body: bytes, callers_max: int, seconds: float) -> float:
    """Calls per second that so many callers get answered who each wait for their answer."""
    count, over = 0, False
    request = request_bytes(url, KEYS["normal"], body)

    def finished(caller: Caller) -> None:
        nonlocal count
        count += caller.good
        if not over and not caller.lost:
            caller.send()

    callers = [await connect(url, request, finished) for _ in range(callers_max)]
    for caller in callers:
        caller.send()
    await asyncio.sleep(1.0)
    count = 0
    await asyncio.sleep(seconds)
    over, found = True, count
    await asyncio.sleep(0.5)
    for caller in callers:
        if caller.transport is not None:
            caller.transport.close()
    return found / seconds


async def measure(url: str, gateway: Server, options: argparse.Namespace) -> None:
    body = request_body("m", 1024, stream=options.stream)
    best = options.peak or await peak(url, body, 400 if options.stream else 64, 3.0)
    print(json.dumps({"peak good/s": round(best)}))
    load = OpenLoop(url, body)
    await load.open()
    phases = [
        (Phase("1x", 0.8 * best), 4.0),
        (Phase(f"{options.times:g}x", options.times * best, 0.8 * best, RAMP_S), options.seconds),
        (Phase("back", 0.5 * best), 8.0),
    ]
    for phase, seconds in phases:
        before_s = gateway.cpu_s()
        await load.run(phase, seconds)
        print(json.dumps({"gateway CPU": round((gateway.cpu_s() - before_s) / seconds, 2)}), flush=True)
    await asyncio.sleep(GIVE_UP_S)
    load.give_up(time.monotonic())
    for phase, seconds in phases:
        print(json.dumps(phase.row(seconds)))
    over = phases[1][0]
    print(json.dumps({
        "goodput at overload, of peak": round(len(over.took_ns["good"]) / phases[1][1] / best, 3),
        "well after, s": phases[2][0].well_after_s(),
        "per second": [sum(over.windows.get(4 * second + part, Counter())["good"] for part in range(4))
                       for second in range(int(phases[1][1]))],
    }))  # fmt: skip


def policy(upstream_port: int, port: int, folder: Path) -> dict[str, Any]:
    deployment = {"provider": "mock", "model": "gpt-4o-mini", "price": {"input": 0.15, "output": 0.6}}
    return {
        "server": {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{free_port()}"},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "telemetry": {"log": "json"},
        "providers": {
            "mock": {"kind": "openai", "base_url": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}
        },
        "deployments": dict.fromkeys(DEPLOYMENTS, deployment),
        "routes": [{"model": "m", "strategy": "weighted", "targets": list(DEPLOYMENTS)}],
        "keys": [{"name": name, "secret": key, "priority": name} for name, key in KEYS.items()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of overload")
    parser.add_argument("--times", type=float, default=3.0, help="the peak")
    parser.add_argument("--peak", type=float, default=0.0, help="calls per second, if it is known")
    parser.add_argument("--stream", action="store_true", help="ask for streams of 20 chunks")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as name:
        folder, port, upstream_port = Path(name), free_port(), free_port()
        file = folder / "policy.yaml"
        file.write_text(json.dumps(policy(upstream_port, port, folder)))
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        python = sys.executable
        mock = [python, "-m", "benchmarks.mock", "--port", str(upstream_port), "--chunks", "20", "--pace-ms", "10"]
        gateway = [python, "-m", "gateway", "serve", "--config", str(file)]
        with running(mock, LOAD_CORE, folder / "mock.log"), running(gateway, GATEWAY_CORE, folder / "log") as server:
            server.wait_until_answers(url, KEYS["normal"], request_body("m", 100))
            uvloop.run(measure(url, server, options))
            for line in (folder / "log").read_text().splitlines():
                if "request.completed" not in line:
                    print(line)


if __name__ == "__main__":
    main()
