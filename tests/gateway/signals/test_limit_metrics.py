from __future__ import annotations

from gateway.signals import limit_telemetry
from gateway.signals.limit_metrics import BudgetStanding, LimitMetrics, watch_budgets
from gateway.signals.metrics import Registry


def told(registry: Registry) -> dict[str, dict[tuple[str, ...], object]]:
    return {one.family.name: dict(one.values) for one in registry.snapshot()}


def test_a_grant_counts_once_for_each_limit_that_it_is_about() -> None:
    registry = Registry()
    metrics = LimitMetrics(registry)
    both, one = metrics.grants_of([("team", "cost"), ("key", "requests")]), metrics.grants_of([("key", "requests")])
    both.inc()
    both.inc()
    one.inc()
    assert metrics.grants_of([("key", "requests"), ("team", "cost")]) is both
    metrics.denied("team", "cost")
    assert told(registry)[limit_telemetry.DECISIONS.name] == {
        ("key", "requests", "allowed"): 3,
        ("key", "requests", "denied"): 0,
        ("team", "cost", "allowed"): 2,
        ("team", "cost", "denied"): 1,
    }


def test_two_limits_of_one_kind_are_two_decisions() -> None:
    registry = Registry()
    LimitMetrics(registry).grants_of([("key", "tokens"), ("key", "tokens")]).inc()
    assert told(registry)[limit_telemetry.DECISIONS.name]["key", "tokens", "allowed"] == 2


def test_budgets_are_read_as_they_stand() -> None:
    registry, standings = Registry(), [BudgetStanding("team", "a", 20_000_000_000, 5, 7)]
    watch_budgets(registry, lambda: standings)
    shown = told(registry)
    assert shown["pointsman_budget_limit_usd"] == {("team", "a"): 20_000_000_000}
    assert shown["pointsman_budget_spent_usd"] == {("team", "a"): 5}
    assert shown["pointsman_budget_reserved_usd"] == {("team", "a"): 7}
    standings.clear()
    assert told(registry)["pointsman_budget_limit_usd"] == {}
