"""What single parts cost, each measured alone in a process of its own: the tables below the whole proxies'."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

WITHIN_S = 300


@dataclass(frozen=True)
class PartTable:
    """One module's table: its title, how the module is called, and what to say of it."""

    title: str
    module: str
    about: str


PARTS = (
    PartTable(
        "Admission and ledger, on the path",
        "benchmarks.admission",
        "Microseconds a call, of one core: best and median of many short runs, and over all with what it causes.",
    ),
    PartTable(
        "Limits on Redis",
        "benchmarks.admission_redis",
        "The gateway's CPU and the wall time for reserve and settle together, three dimensions, 64 calls at once.",
    ),
    PartTable(
        "Matching",
        "benchmarks.matching",
        "Microseconds a call, of one core: best and median of many short runs. The goal for 30 conditions is 30.",
    ),
    PartTable(
        "Choosing",
        "benchmarks.choosing",
        "Microseconds a decision among 20 targets and 2 fallbacks, of one core: best and median of many short runs.",
    ),
    PartTable(
        "Cache",
        "benchmarks.cache_path",
        "The gateway's processor time per request, beside that of a call of a route without a cache; cases take turns.",
    ),
    PartTable("Estimates", "benchmarks.estimates", "Microseconds for the cheap bound and for the exact count."),
)


def measure_parts() -> dict[str, str]:
    """Each module's table by title; why there is none, where it could not be measured."""
    found = {}
    for part in PARTS:
        command = [sys.executable, "-m", part.module]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        last = done.stderr.strip().rpartition("\n")[2]
        found[part.title] = done.stdout.strip() if done.returncode == 0 else f"not measured: {last}"
    return found


def number(table: str, row: str, column: int) -> float | None:
    """The number in a Markdown table's row of this name; None where there is none."""
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] == row and len(cells) > column:
            return float(cells[column])
    return None
