"""What limits add to the metrics: their decisions, what asking them took, and how the budgets of owners stand.

A grant is one step of one counter, whatever the number of limits it is about; a scrape adds up what each of them had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.signals import limit_telemetry
from gateway.signals.limit_telemetry import Decision
from gateway.signals.metrics import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.signals.metrics import Labels, Registry

Pairs = tuple[tuple[str, str], ...]
"""Scopes and resources of the limits that are asked together."""


class BudgetStanding(NamedTuple):
    """One budget of one holder."""

    scope: str
    holder: str
    limit_nanousd: int
    spent_nanousd: int
    reserved_nanousd: int


class LimitMetrics:
    def __init__(self, registry: Registry) -> None:
        self._grants: dict[Pairs, Cell] = {}
        self._denials: dict[tuple[str, str], int] = {}
        checks = registry.histograms(limit_telemetry.CHECK)
        self.allowed, self.refused = checks.at(Decision.ALLOWED.value), checks.at(Decision.DENIED.value)
        registry.sample(limit_telemetry.DECISIONS, self._decisions)

    def grants_of(self, limits: Iterable[tuple[str, str]]) -> Cell:
        """What a grant under limits of these scopes and resources is counted in."""
        pairs: Pairs = tuple(sorted(limits))
        return self._grants.setdefault(pairs, Cell())

    def denied(self, scope: str, resource: str) -> None:
        """A limit was named in a refusal."""
        self._denials[scope, resource] = self._denials.get((scope, resource), 0) + 1

    def _decisions(self) -> list[tuple[Labels, float]]:
        counts: dict[Labels, float] = {}
        for pairs, cell in self._grants.items():
            for scope, resource in pairs:
                for decision, count in ((Decision.ALLOWED, cell.value), (Decision.DENIED, 0)):
                    labels = (scope, resource, decision.value)
                    counts[labels] = counts.get(labels, 0) + count
        for (scope, resource), count in self._denials.items():
            counts[scope, resource, Decision.DENIED.value] = count
        return list(counts.items())


def watch_budgets(registry: Registry, standings: Callable[[], Iterable[BudgetStanding]]) -> None:
    """Let scrapes read the budgets as they were last looked at."""

    def amount(read: Callable[[BudgetStanding], int]) -> Callable[[], list[tuple[Labels, float]]]:
        return lambda: [((one.scope, one.holder), read(one)) for one in standings()]

    registry.sample(limit_telemetry.BUDGET_LIMIT, amount(lambda one: one.limit_nanousd))
    registry.sample(limit_telemetry.BUDGET_SPENT, amount(lambda one: one.spent_nanousd))
    registry.sample(limit_telemetry.BUDGET_RESERVED, amount(lambda one: one.reserved_nanousd))
