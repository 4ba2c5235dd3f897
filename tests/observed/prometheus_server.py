"""A real Prometheus on loopback that scrapes what a test says, with the boards' rules, and answers queries.

    async with prometheus(folder, [Job("pointsman", "127.0.0.1:8081")], rules=[path]) as server:
        server.instant("up", at_s)                # [(labels, value)]
        server.ranged("rate(x[15s])", start_s, end_s, 1.0)

Debian's package `prometheus` has it (`scripts/test_servers.sh`); where it is absent, tests skip.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shutil
import urllib.parse
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.redis_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

PROGRAM = "prometheus"
START_WITHIN_S = 30.0


class Series(NamedTuple):
    """One series of an answer: its labels, and its points as (Unix seconds, value)."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def finite(self) -> list[float]:
        return [value for _, value in self.points if math.isfinite(value)]


class Job(NamedTuple):
    """One target, by the name that its series carry as `job`. `token` is sent as a bearer's."""

    name: str
    target: str
    token: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    path: str = "/metrics"


class QueryError(AssertionError):
    """What Prometheus says is wrong with a query."""


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


@dataclass(frozen=True)
class Prometheus:
    """A running server. Its calls block, so they belong into tests and not on an event loop."""

    port: int

    def get(self, path: str, **words: object) -> Any:
        """The `data` of an API answer."""
        status, body = self._ask(f"/api/v1/{path}?{urllib.parse.urlencode(words)}")
        told = json.loads(body)
        if status != HTTPStatus.OK:
            raise QueryError(f"{words.get('query', path)}: {told['error']}")
        return told["data"]

    def is_ready(self) -> bool:
        try:
            return self._ask("/-/ready")[0] == HTTPStatus.OK
        except OSError:
            return False

    def _ask(self, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            replied = connection.getresponse()
            return replied.status, replied.read()

    def instant(self, query: str, at_s: float) -> list[Series]:
        data = self.get("query", query=query, time=at_s)
        if data["resultType"] == "scalar":
            return [Series({}, [_point(data["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in data["result"]]

    def ranged(self, query: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        data = self.get("query_range", query=query, start=start_s, end=end_s, step=step_s)
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in data["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule of every group, as it stands now: its health, when it was evaluated last, its state."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def exemplars(self, query: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query_exemplars", query=query, start=start_s, end=end_s)
        return found


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


@asynccontextmanager
async def prometheus(
    folder: Path, jobs: Sequence[Job] = (), *, rules: Sequence[Path] = (), every_s: float = 1.0
) -> AsyncIterator[Prometheus]:
    """Scrapes the targets of all jobs, and evaluates the rules, every `every_s` seconds."""
    file, port = folder / "prometheus.yml", free_port()
    every = f"{round(every_s * 1000)}ms"
    told = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [_scraping(job) for job in jobs],
    }
    file.write_text(yaml.safe_dump(told))
    words = [
        f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        # Whoever is killed takes the server along.
        process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", PROGRAM, *words, stdout=log, stderr=log, env={"GOMAXPROCS": "1"}
            | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        try:
            server = Prometheus(port)
            await _until_ready(server, process, folder / "prometheus.log")
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _scraping(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {
        "job_name": job.name,
        "static_configs": [{"targets": [job.target], "labels": dict(job.labels)}],
        "metrics_path": job.path,
    }
    return found | ({"authorization": {"credentials": job.token}} if job.token else {})


async def _until_ready(server: Prometheus, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_WITHIN_S):
        while not await asyncio.to_thread(server.is_ready):
            assert process.returncode is None, await asyncio.to_thread(log.read_text)
            await asyncio.sleep(0.05)
