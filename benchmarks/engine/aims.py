"""What was to be reached, as ratios of two systems within a round, and whether it was."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.engine.systems import BARE, LLAMA_CPP_SERVER, LLAMA_SERVER, LLAMA_SERVER_DEFAULT, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.engine.report import Figures

EVERY, SOME = min, max


@dataclass(frozen=True)
class Aim:
    """A bound on a ratio: at least it (or at most). Over all numbers of callers, or at one of them, or none."""

    what: str
    pair: tuple[str, str]
    case: str
    name: str
    wanted: float
    at_least: bool = True
    of_all: Callable[..., float] | None = None
    callers: int | None = None

    def found(self, figures: Figures) -> float | None:
        counts = figures.callers if self.of_all else [self.callers]
        ratios = [figures.ratios(self.pair, self.case, self.name, count) for count in counts]
        medians = [statistics.median(each) for each in ratios if each]
        return (self.of_all or min)(medians) if medians else None


def verdict(aim: Aim, figures: Figures) -> list[str]:
    found = aim.found(figures)
    bound = f"{'>=' if aim.at_least else '<='} {aim.wanted:g}"
    if found is None:
        return [aim.what, bound, "-", "not measured"]
    reached = found >= aim.wanted if aim.at_least else found <= aim.wanted
    return [aim.what, bound, f"{found:.3g}", "reached" if reached else "**missed**"]


ANCHOR = (OURS, LLAMA_SERVER)
AIMS = (
    Aim("tokens/s, at every number of callers", ANCHOR, "throughput", "tokens_s", 1.0, of_all=EVERY),
    Aim("tokens/s, at some", ANCHOR, "throughput", "tokens_s", 1.1, of_all=SOME),
    Aim("TTFT p95, at every number of callers", ANCHOR, "throughput", "ttft_p95_ms", 0.9, at_least=False, of_all=max),
    Aim("ITL p95 at 16", ANCHOR, "throughput", "itl_p95_ms", 1.05, at_least=False, callers=16),
    Aim("TTFT, 1,000-token prefix in a busy slot", ANCHOR, "prefix", "busy_ms", 0.05, at_least=False),
    Aim("the same for 4 at once", ANCHOR, "prefix", "four_warm_ms", 0.15, at_least=False),
    Aim("4 at once behind a new one", ANCHOR, "prefix", "four_cold_ms", 0.35, at_least=False),
    Aim("TTFT, prefix in an idle slot", ANCHOR, "prefix", "hit_ms", 1.1, at_least=False),
    Aim(
        "longest pause behind a 1,500-token prompt, to llama-server's default batch",
        (OURS, LLAMA_SERVER_DEFAULT), "stall", "stall_ms", 0.15, at_least=False,
    ),
    Aim("tokens/s through the gateway, to the bare engine", (OURS, BARE), "throughput", "tokens_s", 0.97, of_all=EVERY),
    Aim("tokens/s at 16, to llama_cpp.server", (OURS, LLAMA_CPP_SERVER), "throughput", "tokens_s", 3.0, callers=16),
)  # fmt: skip
