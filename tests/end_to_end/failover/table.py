"""What came of the scenarios as a table in markdown, one column for each variant."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

from tests.end_to_end.failover.scoring import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.end_to_end.failover.running import Result
    from tests.end_to_end.failover.scenarios import Profile

HEADING = "## Failover"


def rendered(profile: Profile, results: Iterable[Result]) -> str:
    """One row for each scenario, in each cell the verdict, attempts at primary and fallback, and the longest call."""
    cells = {(result.scenario.id, result.variant.name): result for result in results}
    variants = list(dict.fromkeys(variant for _, variant in cells))
    titles = {result.scenario.id: result.scenario.title for result in cells.values()}
    lines = [
        HEADING,
        "",
        (
            f"The 16 scenarios of the public Failover Bench catalogue (v0.1), rebuilt as our own tests; profile"
            f" {profile.name}, {dt.datetime.now(dt.UTC).date()}. `2p/1f`: attempts at the primary and at the fallback."
        ),
        "",
        f"| scenario | {' | '.join(variants)} |",
        f"|---|{'---|' * len(variants)}",
    ]
    for id_, title in sorted(titles.items()):
        row = [_cell(cells[id_, variant]) if (id_, variant) in cells else "-" for variant in variants]
        lines.append(f"| {id_} {title} | {' | '.join(row)} |")
    sums = [_sum(result for result in cells.values() if result.variant.name == variant) for variant in variants]
    return "\n".join([*lines, f"| all | {' | '.join(sums)} |", "", ""])


def _cell(result: Result) -> str:
    seen, score = result.seen, result.score
    notes = "".join(f"; {name}" for name in score.broken)
    if score.verdict is not Verdict.PASS and seen.ended != "answered":
        notes += f"; {next(call.error for call in seen.calls if call.error)}"
    name = score.verdict.value if score.verdict in (Verdict.PASS, Verdict.SAFE) else f"**{score.verdict.value}**"
    return f"{name} ({len(seen.primary)}p/{len(seen.spare)}f, {seen.took_s:.1f} s{notes})"


def _sum(results: Iterable[Result]) -> str:
    counts = Counter(result.score.verdict for result in results)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
