"""What a gateway's calls cost beside those of another checkout: processor time per request and per streamed chunk.

    python -m benchmarks.before CHECKOUT [--rounds 9] [--write]

Three gateways take turns of a second on one core: the other checkout's, this one's, and the other's once more, whose
ratio to itself says how far such numbers may be believed. A ratio is the median of its rounds'.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.bodies import request_body
from benchmarks.measure import load, requests, upstreams
from benchmarks.processes import GATEWAY_CORE, Server, free_port, running
from benchmarks.sections import put_into
from benchmarks.targets import KEY, Ports, prepare_pointsman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Upstreams

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
TITLE: Final = "Before and after observability"
NAMES: Final = ("before", "after", "before, again")
KINDS: Final = {"request, c=64": 64, "request, c=16": 16, "streamed chunk, c=64": 64}
STREAMS_S: Final = 2
ABOUT: Final = """\
Measured by `python -m benchmarks.before CHECKOUT --rounds {rounds} --write`, with a checkout of the code before
metrics, traces and exact costs. Processor time of the whole gateway, its threads and the ledger's writes included;
three gateways take turns on one core. The aim is a ratio of 1.03. `ratio` is the median of the rounds' ratios to
`before`, with their quartiles; `before, again` is the same code as `before`, and tells what this machine adds."""


class Gateway(NamedTuple):
    server: Server
    url: str


def start(open_: ExitStack, folder: Path, direct: Upstreams, checkout: Path) -> Gateway:
    """A gateway of that checkout's code."""
    folder.mkdir()
    ports = Ports(direct.json_port, direct.stream_port, free_port(), free_port(), free_port())
    prepare_pointsman(folder, ports)
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(folder / "policy.yaml")]
    env = {"PYTHONPATH": str(checkout.absolute())}
    server = open_.enter_context(running(command, GATEWAY_CORE, folder / "log", env))
    url = direct.url(ports.json)
    server.wait_until_answers(url, KEY, request_body("mock"))
    return Gateway(server, url)


def cpu_us(there: Gateway, kind: str) -> float:
    began_s, connections = there.server.cpu_s(), KINDS[kind]
    if kind.startswith("request"):
        seen = requests(there.url, connections, 1)
        count = seen["requests"]
    else:
        given = ("--connections", connections, "--seconds", STREAMS_S, "--model", "mock-stream")
        seen = load("streams", there.url, *given)
        count = seen["chunks"]
    if seen["bad"]:
        raise RuntimeError(f"{kind}: {seen['bad']} bad answers")
    return 1e6 * (there.server.cpu_s() - began_s) / count


def measure(before: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Each kind's processor time by gateway, round by round."""
    found: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in NAMES} for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as top, ExitStack() as open_:
        direct = open_.enter_context(upstreams(Path(top)))
        checkouts = zip(NAMES, (before, Path.cwd(), before), strict=True)
        there = {name: start(open_, Path(top) / name, direct, checkout) for name, checkout in checkouts}
        for kind in KINDS:
            for one in there.values():
                cpu_us(one, kind)  # once for nothing, so that all is warm
        for number in range(rounds):
            for kind in KINDS:
                for name in (*NAMES[number % 3 :], *NAMES[: number % 3]):
                    found[kind][name].append(cpu_us(there[name], kind))
    return found


def table(found: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    yield "| what | gateway | best us | median us | ratio |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for kind, costs in found.items():
        for name in NAMES:
            ratios = [cost / base for cost, base in zip(costs[name], costs[NAMES[0]], strict=True)]
            low, middle, high = quantiles(ratios, n=4, method="inclusive")
            ratio = "1" if name == NAMES[0] else f"{middle:.3f} ({low:.2f} to {high:.2f})"
            yield f"| {kind} | {name} | {min(costs[name]):.1f} | {median(costs[name]):.1f} | {ratio} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    options = parser.parse_args()
    text = "\n".join(table(measure(options.checkout, options.rounds)))
    print(text)
    if options.write:
        put_into(RESULTS, f"## {TITLE}\n\n{ABOUT.format(rounds=options.rounds)}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
