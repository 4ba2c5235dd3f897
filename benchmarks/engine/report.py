"""The rows of all rounds as the tables of engine.md: medians, and ratios paired within a round."""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engine.aims import AIMS, verdict
from benchmarks.engine.systems import BARE, LLAMA_SERVER, all_systems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.engine.running import Row

MUCH_FOREIGN = 0.2

AGAIN = "\nOnly those cases are of that run; the others are of the full run before it."
INTRO = """\
# The bundled engine beside others

Written by `{command}` on {day}: {rounds} round(s) in {minutes:.0f} minutes.{again}
{machine}.

All systems compute the same model (SmolLM2-135M-Instruct, Q4_0) with {threads} thread(s), split KV, batches of 512
tokens and equal slots; all are up during the whole run, one is asked at a time, and each round begins with another.
The callers are one process beside them. Prompts are seeded and new in every round, temperature is 0, answers stream.
Cells are medians over the rounds; ratios are taken within a round, to llama-server unless said otherwise, and given as
median (lowest to highest). {foreign}

"""
FOREIGN = "Rows while others used more than 20 % of the machine were dropped: {dropped} of {all}."
ALL_FOREIGN = "**Others used more than 20 % of the machine during {dropped} of {all} rows: the figures are no good.**"


@dataclass(frozen=True)
class Results:
    rows: Sequence[Row]
    left_out: Mapping[str, str]
    threads: int
    command: str
    took_s: float

    def quiet(self) -> list[Row]:
        """Rows that count: all, where too few would be left."""
        quiet = [row for row in self.rows if row["foreign"] <= MUCH_FOREIGN]
        return quiet if 2 * len(quiet) > len(self.rows) else list(self.rows)


class Figures:
    """Values by case, system and round."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.systems = [system.name for system in all_systems() if any(row["system"] == system.name for row in rows)]
        self.callers = sorted({row["callers"] for row in rows if "callers" in row})

    def by_round(self, system: str, case: str, name: str, callers: int | None = None) -> dict[int, float]:
        return {
            row["round"]: row[name]
            for row in self.rows
            if (row["system"], row["case"], row.get("callers")) == (system, case, callers)
            and not math.isnan(row.get(name, math.nan))
        }

    def median(self, system: str, case: str, name: str, callers: int | None = None) -> float | None:
        values = self.by_round(system, case, name, callers).values()
        return statistics.median(values) if values else None

    def ratios(self, pair: tuple[str, str], case: str, name: str, callers: int | None = None) -> list[float]:
        """The first system's value by the second's, round for round."""
        ours, theirs = (self.by_round(system, case, name, callers) for system in pair)
        return [ours[number] / theirs[number] for number in ours if theirs.get(number)]


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.1f}"


def span(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f} to {max(ratios):.2f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |", *lines, ""])


THROUGHPUT = (
    ("tokens_s", "tokens/s"), ("ttft_p50_ms", "TTFT p50 ms"), ("ttft_p95_ms", "p95"), ("itl_p50_ms", "ITL p50 ms"),
    ("itl_p95_ms", "p95"), ("cpu_ms_token", "CPU ms/token"),
)  # fmt: skip
PREFIX = (
    ("cold_ms", "new"), ("hit_ms", "slot idle"), ("busy_ms", "slot busy"), ("four_warm_ms", "4 at once, known"),
    ("four_cold_ms", "4 at once, new"),
)  # fmt: skip


def throughput(figures: Figures) -> Iterable[str]:
    for callers in figures.callers:
        yield f"### {callers} caller(s)\n"
        rows = []
        for system in figures.systems:
            values = [figures.median(system, "throughput", name, callers) for name, _ in THROUGHPUT]
            ratios = [
                figures.ratios((system, LLAMA_SERVER), "throughput", name, callers)
                for name in ("tokens_s", "ttft_p95_ms")
            ]
            if values[0] is not None:
                rows.append([system, *map(cell, values), *map(span, ratios)])
        yield table(["system", *(head for _, head in THROUGHPUT), "tokens/s ratio", "TTFT p95 ratio"], rows)


def prefixes(figures: Figures) -> Iterable[str]:
    rows = []
    for system in figures.systems:
        values = [figures.median(system, "prefix", name) for name, _ in PREFIX]
        if values[0] is not None:
            rows.append([system, *map(cell, values)])
            ratios = (figures.ratios((system, LLAMA_SERVER), "prefix", name) for name, _ in PREFIX)
            rows.append(["ratio", *map(span, ratios)])
    if rows:
        yield "## A shared system prompt of 1,000 tokens, 4 slots\n"
        yield table(["TTFT ms", *(head for _, head in PREFIX)], rows)


def stalls(figures: Figures) -> Iterable[str]:
    rows = []
    for system in figures.systems:
        values = [figures.median(system, "stall", name) for name in ("stall_ms", "long_ttft_ms")]
        if values[0] is not None:
            rows.append([system, *map(cell, values), span(figures.ratios((system, LLAMA_SERVER), "stall", "stall_ms"))])
    if rows:
        yield "## A prompt of 1,500 tokens behind three running streams\n"
        yield table(["system", "longest pause ms", "TTFT of the long prompt ms", "pause, ratio"], rows)


def steps(figures: Figures) -> Iterable[str]:
    """What a step of the bare engine takes, where it says so."""
    rows = [
        [
            str(callers),
            *(
                f"{figures.median(BARE, 'throughput', name, callers):.3g}"
                for name in ("step_ms", "python_ms", "python_share")
            ),
        ]
        for callers in figures.callers
        if figures.median(BARE, "throughput", "step_ms", callers) is not None
    ]
    if rows:
        yield "## A step of the bare engine\n"
        yield table(["callers", "step ms", "of that Python ms", "share"], rows)


def failures(results: Results) -> Iterable[str]:
    lines = [f"- {name}: left out: {reason.splitlines()[0]}" for name, reason in results.left_out.items()]
    for row in results.rows:
        if row.get("failed") or row.get("bad"):
            what = row.get("failed") or f"{row['bad']} calls failed"
            lines.append(f"- {row['system']}, round {row['round'] + 1}, {row['case']} {row.get('callers', '')}: {what}")
    if lines:
        yield "## What went wrong\n"
        yield "\n".join([*lines, ""])


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def intro(results: Results) -> str:
    noisy = sum(row["foreign"] > MUCH_FOREIGN for row in results.rows)
    told = FOREIGN if len(results.quiet()) + noisy == len(results.rows) else ALL_FOREIGN
    return INTRO.format(
        command=results.command,
        day=dt.datetime.now(dt.UTC).date(),
        rounds=len({row["round"] for row in results.rows}),
        minutes=results.took_s / 60,
        again=AGAIN if " --again" in results.command else "",
        machine=machine(),
        threads=results.threads,
        foreign=told.format(dropped=noisy, all=len(results.rows)) if noisy else "",
    )


def render(results: Results) -> str:
    figures = Figures(results.quiet())
    parts = [intro(results)]
    parts += [f"- `{system.name}`: {system.about}" for system in all_systems()]
    parts += ["\n## Aims\n", table(("aim", "wanted", "found", ""), (verdict(aim, figures) for aim in AIMS))]
    if figures.callers:
        parts += ["## Callers at once, 110-token prompts\n", *throughput(figures)]
    parts += [*prefixes(figures), *stalls(figures), *steps(figures)]
    return "\n".join([*parts, *failures(results)])
