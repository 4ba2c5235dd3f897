"""Measures the bundled engine beside others, in rounds, and writes benchmarks/engine.md (`make bench-engine`)."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engine.report import Results, render
from benchmarks.engine.running import Running
from benchmarks.engine.systems import (
    GUESSING,
    LLAMA_CPP_SERVER,
    LLAMA_SERVER_DEFAULT,
    Sizes,
    all_systems,
    llama_server_path,
)
from benchmarks.engine.weights import CACHE, q4_0_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.engine.running import Row

REPORT = Path(__file__).parents[1] / "engine.md"
SAMPLES = CACHE / "samples.json"
CALLERS = (1, 2, 4, 8, 16)
PREFIX_SIZES = (4, 2560)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    names = [system.name for system in all_systems()]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=names, help="only this system (may be repeated)")
    parser.add_argument("--callers", default=",".join(map(str, CALLERS)), help="how many at once, by commas")
    parser.add_argument("--cases", default="throughput,prefix,stall")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--model", type=Path, help="another GGUF than the bundled one in Q4_0")
    parser.add_argument("--again", action="store_true", help="measure --cases anew, and keep the last run's others")
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not written")
    return parser.parse_args()


def kept_rows(cases: str) -> list[Row]:
    """The last full run's rows of every case but these."""
    rows: list[Row] = json.loads(SAMPLES.read_text())
    return [row for row in rows if row["case"] not in cases.split(",")]


class Run:
    """One run: which systems, and the rows that they gave."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.callers = [int(count) for count in options.callers.split(",")]
        self.rounds = 1 if options.quick else options.rounds
        self.model = options.model or q4_0_model()
        self.rows: list[Row] = kept_rows(options.cases) if options.again else []
        self.left_out: dict[str, str] = {}

    def measure(self, folder: Path) -> None:
        cases = self.options.cases.split(",")
        if "throughput" in cases:
            sizes = Sizes(self.model, max(self.callers), 512, self.options.threads)
            for number, running in self._rounds(folder / "wide", sizes, {LLAMA_SERVER_DEFAULT}):
                self._throughput(number, running)
        if others := [case for case in cases if case != "throughput"]:
            sizes = Sizes(self.model, *PREFIX_SIZES, self.options.threads)
            for number, running in self._rounds(folder / "long", sizes, {LLAMA_CPP_SERVER, GUESSING}):
                for case in others:
                    self._ask(running, number, case)

    def _rounds(self, folder: Path, sizes: Sizes, skipped: set[str]) -> Iterator[tuple[int, Running]]:
        """Each system once a round, every round beginning with another one; they are up until the last has ended."""
        with ExitStack() as stack:
            systems = self._started(stack, folder, sizes, skipped)
            for number in range(self.rounds):
                first = number % max(1, len(systems))
                for running in (*systems[first:], *systems[:first]):
                    yield number, running

    def _started(self, stack: ExitStack, folder: Path, sizes: Sizes, skipped: set[str]) -> list[Running]:
        found = []
        for number, system in enumerate(all_systems()):
            if system.name in skipped or (self.options.only and system.name not in self.options.only):
                continue
            own = folder / str(number)
            own.mkdir(parents=True)
            try:
                running = Running(system, own, sizes)
            except (RuntimeError, OSError) as error:
                self.left_out[system.name] = str(error)
                say(f"left out: {system.name}: {error}")
                continue
            stack.callback(running.stop)
            found.append(running)
        return found

    def _throughput(self, number: int, running: Running) -> None:
        for callers in self.callers:
            alone = running.name == LLAMA_CPP_SERVER  # it takes long, and says the same again
            requests = 1 if alone or self.options.quick else 2
            if not (alone and number):
                self._ask(running, number, "throughput", callers=callers, requests=requests, tokens=self.options.tokens)

    def _ask(self, running: Running, number: int, case: str, **how: int) -> None:
        row = running.ask(case, seed=f"{number}", **how)
        self.rows.append({"system": running.name, "round": number, "case": case, **how, **row})
        say(f"round {number + 1}: {running.name}: {json.dumps({'case': case, **how} | row)}")


def main() -> None:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that no server is left behind
    llama_server_path()  # minutes, at the first time; before anything is measured
    began_s = time.monotonic()
    run = Run(options)
    with tempfile.TemporaryDirectory(prefix="pointsman-engine-") as top:
        run.measure(Path(top))
    command = " ".join(["python -m benchmarks.engine", *sys.argv[1:]])
    results = Results(run.rows, run.left_out, options.threads, command, time.monotonic() - began_s)
    text = render(results)
    if options.quick or options.only:
        print(text)
    else:
        SAMPLES.write_text(json.dumps(run.rows))
        REPORT.write_text(text)
        say(f"written: {REPORT}")


if __name__ == "__main__":
    main()
