"""The tables of benchmarks/semantic_cache.md."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from benchmarks.semantic_cache import pairs
from benchmarks.semantic_cache.intervals import shown, wilson
from benchmarks.semantic_cache.streams import Budgeted, Cosine, Outcome, Part, Taught
from policies.cache_curves import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.semantic_cache.streams import Stream
    from policies.cache_curves import Curve

BUDGETS: Final = (0.003, 0.004, 0.005, 0.01, 0.02, 0.05)
THRESHOLDS: Final = (0.6, 0.8, 0.9, 0.95)
NAMES: Final = {0.6: " (GPTCache's default in effect)", 0.9: " (redisvl)", 0.95: " (Portkey)"}
CHECKS: Final = ((0.01, 0.0), (0.05, 0.0), (0.2, 0.0), (1.0, 0.0))

HEAD: Final = """\
| {what} | stream | correct hits per request, % | wrong per request, % | wrong per hit, % | budget kept |
| --- | --- | ---: | ---: | ---: | --- |
"""


def budgets(streams: Mapping[str, Stream], curve: Curve = SHIPPED[0]) -> Iterator[str]:
    """Every budget on every stream, then plain cosines."""
    yield HEAD.format(what="policy")
    for budget in BUDGETS:
        for name, stream in streams.items():
            yield _row(f"`max_false_hits: {100 * budget:g}%`", name, stream.run(Budgeted(curve, budget)), budget)
    for threshold in THRESHOLDS:
        for name, stream in streams.items():
            yield _row(f"cosine {threshold}{NAMES.get(threshold, '')}", name, stream.run(Cosine(threshold)))


def crossed(streams: Mapping[str, Stream], even: Curve, odd: Curve) -> Iterator[str]:
    """Curves fitted to every second question of both streams, counted on the others."""
    yield HEAD.format(what="budget")
    for budget in (0.01, 0.02, 0.05):
        for name, stream in streams.items():
            one = stream.run(Budgeted(even, budget), Part.ODD)
            two = stream.run(Budgeted(odd, budget), Part.EVEN)
            found = Outcome(*(a + b for a, b in zip(one, two, strict=True)))
            yield _row(f"{100 * budget:g} %", name, found, budget)


def taught(streams: Mapping[str, Stream]) -> Iterator[str]:
    """A budget of 1 % with labels; the right answers stand in for a comparison that never errs."""
    yield "| share of hits checked | stream | calls for checks | correct hits, % | wrong per request, % |\n"
    yield "| --- | --- | ---: | ---: | ---: |\n"
    for hits, misses in CHECKS:
        for name, stream in streams.items():
            decider = Taught(SHIPPED[0], 0.01, hits, misses, random.Random(3))
            found = stream.run(decider)
            right, wrong = shown(found.correct, found.requests), shown(found.wrong, found.requests)
            yield f"| {100 * hits:g} % | {name} | {decider.calls:,} | {right} | {wrong} |\n"


def traps() -> Iterator[str]:
    yield "| policy | traps served, % | should-hits served, % | wrong ones |\n| --- | ---: | ---: | --- |\n"
    rows = [(f"`max_false_hits: {100 * one:g}%`", pairs.by_budget(SHIPPED[0], one)) for one in BUDGETS]
    rows += [(f"cosine {one}{NAMES.get(one, '')}", pairs.by_cosine(one)) for one in THRESHOLDS]
    for what, found in rows:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.by_category.items())) or "none"
        right = shown(found.should_served, found.should)
        yield f"| {what} | {shown(found.traps_served, found.traps)} | {right} | {kinds} |\n"


def chats() -> str:
    wrong, alike, total = pairs.chats_in_one_scope()
    return (
        f"Of {total} pairs of conversations with the same last question, {wrong} want different answers; of those, "
        f"{alike} have the same scope and could be served with each other's answer.\n"
    )


def _row(what: str, stream: str, found: Outcome, budget: float | None = None) -> str:
    right, wrong = shown(found.correct, found.requests), shown(found.wrong, found.requests)
    per_hit = shown(found.wrong, found.correct + found.wrong)
    return f"| {what} | {stream} | {right} | {wrong} | {per_hit} | {_kept(found, budget)} |\n"


def _kept(found: Outcome, budget: float | None) -> str:
    """Whether the upper bound of wrong hits per request is within one and a half times the budget."""
    if budget is None:
        return ""
    return "yes" if wilson(found.wrong, found.requests)[1] <= 1.5 * budget else "no"
