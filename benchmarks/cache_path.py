"""What a cache costs and saves a gateway: its whole processor time per request, beside that of a forwarded call.

    python -m benchmarks.cache_path [--rounds 5] [--count 4000] [--before CHECKOUT]

The cases take turns, so that a noisy moment of the machine falls on all of them; a ratio is the median of its rounds'.
With another checkout, calls of a route without a cache are also made through that one's gateway.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.bodies import request_body
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, free_port, pinned, running
from benchmarks.targets import CHAT, KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Server

FORWARDED: Final = "forwarded"
BEFORE: Final = "forwarded, before"
WITHIN_S: Final = 120
CONNECTIONS: Final = 16


class Case(NamedTuple):
    """One kind of call: the route that it asks, and the load's further options."""

    name: str
    model: str
    options: tuple[str, ...] = ()


CASES: Final = (
    Case(FORWARDED, "plain"),
    Case("exact hit", "cached"),
    Case("miss, exact only", "cached", ("--unlike",)),
    Case("miss, exact and near", "near", ("--unlike",)),
)


class Gateway(NamedTuple):
    server: Server
    url: str


@contextmanager
def gateway(folder: Path, upstream: int, checkout: Path, *, caches: bool = True) -> Iterator[Gateway]:
    """A gateway of that checkout's code, for as long as the block lasts."""
    port, admin = free_port(), free_port()
    policy = folder / "policy.yaml"
    cached = """
  - {model: cached, targets: [a], cache: {exact: {ttl: 1h, near: false}, max_temperature: 1}}
  - {model: near, targets: [a], cache: {exact: {ttl: 1h, near: true}, max_temperature: 1}}"""
    policy.write_text(f"""\
version: 1
server: {{listen: "127.0.0.1:{port}", admin: "127.0.0.1:{admin}"}}
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
providers:
  up: {{kind: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream}}
deployments:
  a: {{provider: up, model: gpt-4o-mini, price: {{input: 0.15, output: 0.6}}}}
routes:
  - {{model: plain, targets: [a]}}{cached if caches else ""}
keys:
  - {{name: benchmarks, secret: {KEY}, team: load}}
""")
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(policy)]
    with running(command, GATEWAY_CORE, folder / "log", {"PYTHONPATH": str(checkout)}) as server:
        url = f"http://127.0.0.1:{port}{CHAT}"
        server.wait_until_answers(url, KEY, request_body("plain"))
        yield Gateway(server, url)


def cpu_us(there: Gateway, case: Case, count: int) -> float:
    """The gateway's processor time per request."""
    command = [sys.executable, "-m", "benchmarks.load", "requests", there.url, "--key", KEY, "--model", case.model]
    command += ["--connections", str(CONNECTIONS), "--count", str(count), "--seconds", "60", *case.options]
    began_s = there.server.cpu_s()
    done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, check=True, timeout=WITHIN_S)
    row = json.loads(done.stdout)
    if row["bad"]:
        raise RuntimeError(f"{case.name}: {row['bad']} bad answers of {row['requests']}")
    return 1e6 * (there.server.cpu_s() - began_s) / float(row["requests"])


def measure(rounds: int, count: int, before: Path | None) -> dict[str, list[float]]:
    """Each case's processor time, round by round."""
    with ExitStack() as open_, tempfile.TemporaryDirectory() as folder:
        upstream = free_port()
        mock = [sys.executable, "-m", "benchmarks.mock", "--port", str(upstream)]
        log = Path(folder) / "mock.log"
        mocked = open_.enter_context(running(mock, LOAD_CORE, log))
        mocked.wait_until_answers(f"http://127.0.0.1:{upstream}{CHAT}", "", request_body("plain"))
        here = Path(folder) / "here"
        here.mkdir()
        now = open_.enter_context(gateway(here, upstream, Path.cwd()))
        turns = [(now, case) for case in CASES]
        if before is not None:
            there = Path(folder) / "there"
            there.mkdir()
            earlier = open_.enter_context(gateway(there, upstream, before.absolute(), caches=False))
            turns.insert(1, (earlier, Case(BEFORE, "plain")))
        for one, case in turns:  # once for nothing, so that all is warm
            cpu_us(one, case, count // 2)
        found: dict[str, list[float]] = {case.name: [] for _, case in turns}
        for number in range(rounds):
            for one, case in turns[:: -1 if number % 2 else 1]:
                found[case.name].append(cpu_us(one, case, count))
        return found


def table(found: dict[str, list[float]]) -> str:
    lines = ["| call | processor us | of a forwarded one |", "| --- | --- | --- |"]
    for name, costs in found.items():
        ratio = median(cost / base for cost, base in zip(costs, found[FORWARDED], strict=True))
        lines.append(f"| {name} | {median(costs):.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--before", type=Path, default=None)
    options = parser.parse_args()
    print(table(measure(options.rounds, options.count, options.before)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
