"""A private PostgreSQL for the session: its own data folder, a unix socket only, no fsync, gone when the session is.

`initdb` refuses to run as root, so root hands it to the system's `postgres` or `nobody`. The extension `vector` comes
with Debian's package where there is one, else with the wheel `pgserver` of the dev group, whose servers are used then.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "jit": "off",
}
START_S = 20


class PostgresServer:
    """Started when made. Raises `OSError` or `subprocess.SubprocessError` where it cannot be."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pointsman-pg-"))
        self._binaries = folder or binaries()
        self._user = None if os.geteuid() else _somebody()
        self._numbers = itertools.count()
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run(
            "initdb",
            "-D",
            str(self.folder / "data"),
            "-U",
            "pointsman",
            "-A",
            "trust",
            "-N",
            "--locale=C",
            "-E",
            "UTF8",
        )
        self.start()

    def start(self) -> None:
        """A child that dies with this process, however that ends."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        program = str(self._binaries / "postgres")
        command = [program, "-D", str(self.folder / "data"), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(command, "--pdeathsig", "QUIT"),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_S
        while self._ready() and time.monotonic() < until and self._process.poll() is None:
            time.sleep(0.02)
        if self._process.poll() is not None:
            raise OSError(f"postgres: {(self.folder / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_S)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints: one line per row."""
        return self._run("psql", "-h", str(self.folder), "-U", "pointsman", "-d", database, "-AtqXc", statement)

    def fresh_url(self) -> str:
        """The URL of a new, empty database."""
        name = f"ledger_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://pointsman@/{name}?host={self.folder}"

    def _ready(self) -> int:
        return subprocess.call([self._binaries / "pg_isready", "-q", "-h", self.folder])

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            self._as_user([str(self._binaries / program), *arguments]),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        if done.returncode:
            raise OSError(f"{program}: {done.stderr or done.stdout}")
        return done.stdout

    def _as_user(self, command: list[str], *options: str) -> list[str]:
        """Through util-linux's setpriv; who is not root stays who they are."""
        user = [f"--reuid={self._user}", "--clear-groups"] if self._user is not None else []
        return ["setpriv", *user, *options, *command] if user or options else command


def binaries() -> Path:
    """The folder of Debian's newest PostgreSQL, or that on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian's package is `postgresql`)")
    return found[-1].parent if found else Path(str(on_path)).parent


def _with_vector() -> Path:
    """The folder of the programs of a PostgreSQL that has the extension."""
    if list(Path("/usr/share/postgresql").glob("*/extension/vector.control")):
        return binaries()
    spec = importlib.util.find_spec("pgserver")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("PostgreSQL has no extension `vector` here, and pgserver is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _somebody() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@functools.cache
def shared_server() -> PostgresServer | str:
    """The session's one server, or why there is none."""
    try:
        server = PostgresServer()
    except (OSError, subprocess.SubprocessError) as error:
        return f"no PostgreSQL here: {error}"
    atexit.register(server.remove)
    return server


def postgres_server() -> PostgresServer:
    """The server, or the test is skipped with the reason."""
    server = shared_server()
    if isinstance(server, str):
        pytest.skip(server)
    return server


@functools.cache
def _made_with_vector() -> PostgresServer | str:
    try:
        server = PostgresServer(_with_vector())
    except (OSError, subprocess.SubprocessError) as error:
        return f"no pgvector here: {error}"
    atexit.register(server.remove)
    return server


def pgvector_server() -> PostgresServer:
    """The session's server that has the extension `vector`, or the test is skipped with the reason."""
    made = _made_with_vector()
    if isinstance(made, str):
        pytest.skip(made)
    return made
