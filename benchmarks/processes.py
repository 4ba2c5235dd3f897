"""Servers under measurement: started on one core, asked of the kernel what they used, and stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
GATEWAY_CORE = 0
LOAD_CORE = (os.cpu_count() or 1) - 1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def pinned(core: int, command: Sequence[str]) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *command]


class Server:
    """A process and its children: one process group, so that nothing is forgotten."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.started_s = time.monotonic()

    def members(self) -> Iterator[tuple[Path, list[str]]]:
        """Each process of the group: its folder in /proc, and the fields of its `stat` after the name."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # it ended just now
                if int(fields[2]) == self.process.pid:
                    yield folder, fields

    def cpu_s(self) -> float:
        return sum(int(fields[11]) + int(fields[12]) for _, fields in self.members()) * TICK_S

    def pss_mb(self) -> float:
        """Proportional set size: what the machine would get back if this server ended."""
        kib = 0
        for folder, _ in self.members():
            lines = (folder / "smaps_rollup").read_text().splitlines()
            kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return round(kib / 1024, 1)

    def wait_until_answers(self, url: str, key: str, body: bytes, seconds: float = 90) -> float:
        """Seconds from the start of the process to its first 200."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        parts = urlsplit(url)
        while time.monotonic() - self.started_s < seconds and self.process.poll() is None:
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
            try:
                connection.request("POST", parts.path, body, headers)
                if connection.getresponse().status == 200:
                    return time.monotonic() - self.started_s
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.005)
        raise RuntimeError(f"no answer from {self.process.args!r}:\n{self.log.read_text()[-2000:]}")


@contextmanager
def running(command: Sequence[str], core: int, log: Path, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A server for as long as the block lasts; its whole process group ends with it."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            # Bytecode is kept, as on a user's machine, whatever this shell says.
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | (env or {}),
        )
    try:
        yield Server(process, log)
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    for signal_ in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
