"""Systems at work: each with its server and its callers, all up during a whole run, one measured at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.engine.prompts import story
from benchmarks.engine.systems import KEY
from benchmarks.processes import TICK_S, Server, end_group

if TYPE_CHECKING:
    from benchmarks.engine.systems import Sizes, System

Row = dict[str, Any]
CORES = os.cpu_count() or 1


def cpu_ticks(fields: list[str]) -> int:
    return int(fields[11]) + int(fields[12])


def family_cpu_s(pid: int) -> float:
    """User and system time of a process and all that descend from it, whatever group or session they are in."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended just now
            parents[int(folder.name)], ticks[int(folder.name)] = int(fields[1]), cpu_ticks(fields)
    return sum(ticks[one] for one in ticks if _descends(one, pid, parents)) * TICK_S


def _descends(one: int, ancestor: int, parents: dict[int, int]) -> bool:
    while one > 1 and one != ancestor:
        one = parents.get(one, 0)
    return one == ancestor


def machine_busy_s() -> float:
    """CPU time of everything on this machine, and what the host took from it."""
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) * TICK_S


class Running:
    """One system: started, asked, stopped."""

    def __init__(self, system: System, folder: Path, sizes: Sizes) -> None:
        """Raises `RuntimeError` where it cannot run here."""
        if system.missing:
            raise RuntimeError(system.missing)
        self.name = system.name
        self._log = folder / "log"
        started = system.prepare(folder, sizes)
        self._server = self._start(started.command, started.env) if started.command else None
        if self._server and started.base_url:
            body = {"model": "m", "messages": story("warm up").messages(), "max_tokens": 4}
            url, data = f"{started.base_url}/chat/completions", json.dumps(body).encode()
            try:
                Server(self._server, self._log).wait_until_answers(url, KEY, data)
            except RuntimeError:
                end_group(self._server)
                raise
        command = [sys.executable, "-m", "benchmarks.engine.client", *started.client]
        self._client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        ready = self._answer()
        self._pid: int = self._server.pid if self._server else ready["pid"]

    def _start(self, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as out:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **env},
            )

    def _answer(self) -> Row:
        assert self._client.stdout is not None
        line = self._client.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the client has ended")
        row: Row = json.loads(line)
        return row

    def ask(self, case: str, **how: object) -> Row:
        """A case's figures, the server's CPU per token, and how much of the machine others took meanwhile."""
        assert self._client.stdin is not None
        began_s, busy_s = time.monotonic(), machine_busy_s()
        server_s, client_s = family_cpu_s(self._pid), family_cpu_s(self._client.pid)
        self._client.stdin.write(json.dumps({"case": case, **how}).encode() + b"\n")
        self._client.stdin.flush()
        row = self._answer()
        used_s = family_cpu_s(self._pid) - server_s
        # The client's family has the worker in it where no server stands between them.
        ours_s = family_cpu_s(self._client.pid) - client_s + (used_s if self._server else 0)
        if row.get("tokens"):
            row["cpu_ms_token"] = round(1000 * used_s / row["tokens"], 3)
        foreign_s = machine_busy_s() - busy_s - ours_s
        row["foreign"] = round(max(0.0, foreign_s) / (time.monotonic() - began_s) / CORES, 3)
        return row

    def stop(self) -> None:
        if self._client.stdin:
            self._client.stdin.close()  # its worker, if any, leaves with it
        end_group(self._client)
        if self._server:
            end_group(self._server)
