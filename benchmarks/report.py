"""The samples of all rounds as the tables of RESULTS.md: median (best), ratios paired within a round."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.parts import PARTS, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.measure import Row
    from benchmarks.targets import Target

YARDSTICK = "aiohttp_min"
OURS = "pointsman"
LIMITED = "pointsman_limits"

INTRO = """\
# Results

Written by `{command}` on {day}; {rounds} round(s), targets interleaved.
{machine}.

Each proxy has core 0 to itself; load and mock upstreams share the last core; everything is on loopback. Requests are
1 KB chats; answers are a completion with usage, or a stream of 50 chunks at a pace of 10 ms. CPU is the user and system
time of all of a proxy's processes, from /proc, divided by requests: the figure that survives a noisy machine. Cells are
median (best) over the rounds; ratios are paired within a round.

- `direct`: no proxy
"""
AGAIN = """\
Where the time goes, why an aim is missed and what would get there: [PROFILE.md](PROFILE.md).

## Again

    make bench                      # nginx, Envoy, aiohttp_min, Pointsman
    make bench LITELLM=1            # and LiteLLM's proxy, in an environment of its own
    make bench BENCH_ARGS=--quick   # one short round, printed and not written: to try the harness
"""


@dataclass(frozen=True)
class Results:
    """`rounds[i][target]` holds that round's samples; `soaks[target]` the long run's."""

    rounds: Sequence[Mapping[str, Row]]
    soaks: Mapping[str, Row]
    targets: Sequence[Target]
    parts: Mapping[str, str] = field(default_factory=dict)

    def values(self, target: str, name: str) -> list[float]:
        return [row[target][name] for row in self.rounds if name in row.get(target, {})]

    def median(self, target: str, name: str) -> float | None:
        values = self.values(target, name)
        return statistics.median(values) if values else None

    def paired(self, target: str, name: str, compare: Callable[[float, float], float], base: str) -> float | None:
        """The median over the rounds of one target's sample compared with another's in the same round."""
        pairs = [(row[target], row[base]) for row in self.rounds if target in row and base in row]
        values = [compare(ours[name], theirs[name]) for ours, theirs in pairs if name in ours and name in theirs]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Column:
    """One column: the sample it shows, divided by `unit`, and which end of it is the best."""

    title: str
    sample: str
    digits: int = 1
    unit: float = 1
    higher_is_better: bool = False

    def cell(self, results: Results, target: str) -> str:
        values = [value / self.unit for value in results.values(target, self.sample)]
        if not values:
            return "-"
        best = max(values) if self.higher_is_better else min(values)
        return f"{statistics.median(values):,.{self.digits}f} ({best:,.{self.digits}f})"


REQUESTS = (
    Column("CPU ms/request, c=64", "cpu_ms_c64", 3),
    Column("c=16", "cpu_ms_c16", 3),
    Column("c=1", "cpu_ms_c1", 3),
    Column("requests/s, c=64", "rps_c64", 0, higher_is_better=True),
    Column("p50 ms, c=64", "p50_us_c64", 2, 1000),
    Column("p99 ms, c=64", "p99_us_c64", 2, 1000),
    Column("failed", "bad", 0),
)
LATENCY = (
    Column("added p50 us, 50/s", "added_p50_us", 0),
    Column("added p99 us, 50/s", "added_p99_us", 0),
    Column("p50 us, c=1", "p50_us_c1", 0),
    Column("p99 us, c=1", "p99_us_c1", 0),
)
STREAMS = (
    Column("CPU us/chunk, c=64", "cpu_us_chunk_c64", 1),
    Column("c=8", "cpu_us_chunk_c8", 1),
    Column("chunks/s, c=64", "chunks_s_c64", 0, higher_is_better=True),
    Column("TTFT p50 ms, c=8", "ttft_p50_us_c8", 2, 1000),
    Column("TTFT p99 ms, c=8", "ttft_p99_us_c8", 2, 1000),
    Column("chunk delay p50 us, c=8", "delay_p50_us_c8", 0),
)
PROCESS = (
    Column("start to first 200, s", "start_s", 2),
    Column("idle MB", "idle_mb", 1),
    Column("MB after the round", "after_mb", 1),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def section(title: str, columns: Sequence[Column], results: Results, *, ratio: str = "") -> str:
    """One table over all targets; `ratio` names the sample whose ratio to the yardstick ends each row."""
    names = ["direct", *(target.name for target in results.targets)]
    head = ["target", *(column.title for column in columns), *([f"x {YARDSTICK}"] if ratio else [])]
    rows = []
    for name in names:
        row = [name, *(column.cell(results, name) for column in columns)]
        if ratio:
            times = results.paired(name, ratio, lambda ours, theirs: ours / theirs, YARDSTICK)
            row.append(f"{times:.2f}" if times else "-")
        rows.append(row)
    return f"## {title}\n\n{table(head, rows)}\n"


def soak_section(results: Results) -> str:
    rows = [
        [name, f"{row['requests']:,.0f}", f"{row['idle_mb']:.1f}", f"{row['first_mb']:.1f}", f"{row['second_mb']:.1f}"]
        for name, row in results.soaks.items()
    ]
    head = ["target", "requests", "idle MB", "after half", "after all"]
    return f"## Memory (PSS) over a long run\n\n{table(head, rows)}\n"


def aims_section(results: Results) -> str:
    """What the project set out to reach, and what it reached."""
    soak = results.soaks.get(OURS, {})
    growth = soak["second_mb"] - soak["first_mb"] if soak else None
    in_process_us = _part(results, 0, "store: reserve and settle, 3 accounts", 2)
    aims = (
        (f"CPU per request, c=64, x {YARDSTICK}", 0.7, results.paired(OURS, "cpu_ms_c64", _divide, YARDSTICK)),
        ("CPU us per streamed chunk, 10 ms pace, c=64", 30, results.median(OURS, "cpu_us_chunk_c64")),
        ("TTFT added, ms, c=8", 1, _in_ms(results.paired(OURS, "ttft_p50_us_c8", _subtract, "direct"))),
        ("start to first 200, s", 0.5, results.median(OURS, "start_s")),
        ("idle MB", 45, results.median(OURS, "idle_mb")),
        ("MB gained in the second half of the long run", 1, growth),
        ("CPU per request under 3 limits, x without", 1.25, results.paired(LIMITED, "cpu_ms_c64", _divide, OURS)),
        ("us to reserve and settle, 3 dimensions, in process", 15, in_process_us),
        ("CPU us to reserve and settle, 3 dimensions, on Redis, c=64", 60, _part(results, 1, "TCP", 2)),
        ("us a ledger row costs the path, intent and outcome", 10, _row_us(results)),
        ("us to choose among 20 candidates, by the dearest strategy", 50, _part(results, 3, "the dearest strategy", 2)),
    )
    rows = [
        [what, f"<= {aim:g}", f"{value:.2f}", "yes" if value <= aim else "**no**"]
        for what, aim, value in aims
        if value is not None
    ]
    return f"## Aims\n\n{table(['what', 'aim', 'measured', 'met'], rows)}\n"


def parts_section(results: Results) -> str:
    tables = [f"### {part.title}\n\n{part.about}\n\n{results.parts[part.title]}\n" for part in PARTS]
    return "## Parts\n\n" + "\n".join(tables)


def _part(results: Results, number_: int, row: str, column: int) -> float | None:
    return number(results.parts.get(PARTS[number_].title, ""), row, column)


def _row_us(results: Results) -> float | None:
    """The intent that goes to the journal before an attempt, and the outcome after it."""
    costs = [_part(results, 0, row, 2) for row in ("intent: no limit, to the journal", "outcome to the journal")]
    return sum(cost for cost in costs if cost is not None) if None not in costs else None


def _divide(ours: float, theirs: float) -> float:
    return ours / theirs


def _subtract(ours: float, theirs: float) -> float:
    return ours - theirs


def _in_ms(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1000


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def render(results: Results, command: str) -> str:
    """The whole of RESULTS.md."""
    about = "\n".join(f"- `{target.name}`: {target.about}" for target in results.targets)
    intro = INTRO.format(
        command=command, day=dt.datetime.now(dt.UTC).date(), rounds=len(results.rounds), machine=machine()
    )
    parts = [
        f"{intro}{about}\n",
        aims_section(results) if OURS in results.rounds[0] else "",
        section("Requests", REQUESTS, results, ratio="cpu_ms_c64"),
        section("Latency", LATENCY, results),
        section("Streams", STREAMS, results, ratio="cpu_us_chunk_c64"),
        section("Process", PROCESS, results),
        soak_section(results) if results.soaks else "",
        parts_section(results) if results.parts else "",
        AGAIN,
    ]
    return "\n".join(part for part in parts if part)
