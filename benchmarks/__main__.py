"""Measures every target in interleaved rounds and writes benchmarks/RESULTS.md. `make bench` installs what it needs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Round, Row, Scale, soak, upstreams
from benchmarks.parts import measure_parts
from benchmarks.report import OURS, YARDSTICK, Results, render
from benchmarks.sections import with_others
from benchmarks.targets import all_targets

RESULTS = Path(__file__).with_name("RESULTS.md")
QUICK = Scale(requests_s=1, streams_s=2, pair_s=1, soak_requests=2_000)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [target.name for target in all_targets()]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", action="append", choices=names, help="only this one (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not written")
    parser.add_argument("--no-soak", action="store_true", help="leave out the 100,000 requests")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> Results:
    """All rounds, then the long runs of ours and of the yardstick."""
    scale = QUICK if options.quick else Scale()
    wanted = [target for target in all_targets() if target.name in (options.target or [target.name])]
    for target in wanted:
        if target.missing:
            say(f"left out: {target.name}: {target.missing}")
    targets = [target for target in wanted if not target.missing]
    rounds: list[dict[str, Row]] = []
    soaks: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as top:
        folder = Path(top)
        with upstreams(folder) as direct:
            for number in range(1 if options.quick else options.rounds):
                say(f"round {number + 1}: direct")
                rounds.append({"direct": Round(scale, direct).measure_direct()})
                for target in targets:
                    say(f"round {number + 1}: {target.name}")
                    own = _own_folder(folder, f"{target.name}-{number}")
                    rounds[-1][target.name] = Round(scale, direct).measure(target, own)
            for target in targets:
                if target.name in {OURS, YARDSTICK} and not options.no_soak:
                    say(f"long run: {target.name}")
                    soaks[target.name] = soak(target, direct, scale, _own_folder(folder, f"{target.name}-soak"))
    parts = {}
    if not options.quick and not options.target:
        say("parts")
        parts = measure_parts()
    return Results(rounds, soaks, targets, parts)


def _own_folder(top: Path, name: str) -> Path:
    folder = top / name
    folder.mkdir()
    return folder


def main() -> None:
    options = parse_options()
    text = render(measure(options), " ".join(["python -m benchmarks", *sys.argv[1:]]))
    print(text)
    if not options.quick and not options.target:
        RESULTS.write_text(with_others(text, RESULTS))


if __name__ == "__main__":
    main()
