"""A private PostgreSQL for the session: its own data folder, a unix socket only, no fsync, stopped at the end.

`initdb` refuses to run as root, so root hands it to the system's `postgres` or `nobody`.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
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

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pointsman-pg-"))
        self._binaries = binaries()
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
        options = " ".join(f"-c {name}={value or repr('')}" for name, value in SETTINGS.items())
        options += f" -k {self.folder}"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

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

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._binaries / program), *arguments]
        if self._user is not None:
            command = ["setpriv", f"--reuid={self._user}", "--clear-groups", *command]
        done = subprocess.run(
            command,
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


def binaries() -> Path:
    """The folder of Debian's newest PostgreSQL, or that on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian's package is `postgresql`)")
    return found[-1].parent if found else Path(str(on_path)).parent


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
