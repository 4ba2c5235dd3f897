"""What Prometheus adds up is what callers saw, what upstreams counted and what the ledger says, to the last unit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.signals.telemetry import NANO, NONE, Outcome

if TYPE_CHECKING:
    from tests.observed.scene import Observed

OWN = "cache:"
WHOLE = (
    "swift-1",
    "sturdy-1",
    "thinker-1",
    "listener-1",
    "seeker-1",
    "broker-1",
    "busy-1",
    "mystery-1",
    "gpu-1",
    "vectors-1",
)
"""Models of which no answer broke off, so that what they told is what the gateway heard."""


def counted(seen: Observed, family: str, *labels: str) -> Counter[tuple[str, ...]]:
    """The last scrape of the gateway with everything, by these labels; a counter's unit is exposed in nine decimals."""
    found: Counter[tuple[str, ...]] = Counter()
    for series in seen.prometheus.instant(f'{family}{{instance="{seen.main}"}}', seen.end_s):
        scale = NANO if "_usd_" in family else 1
        found[tuple(series.labels.get(label, "") for label in labels)] += round(series.last * scale)
    return +found


def of_ledger(seen: Observed, amount: str, *columns: str) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for row in seen.ledger:
        if row["attempt"]:
            found[tuple(str(row[column] or NONE) for column in columns)] += row[amount] or 0
    return +found


def test_requests_are_as_callers_saw_them_end(seen: Observed) -> None:
    assert seen.callers.lost == 0
    told = Counter({(outcome.value,): count for outcome, count in seen.callers.outcomes.items()})
    assert counted(seen, "pointsman_requests_total", "outcome") == told


def test_what_the_cache_asks_by_itself_is_counted_apart(seen: Observed) -> None:
    rows = [row for row in seen.ledger if (row["key_name"] or "").startswith(OWN)]
    calls = Counter((row["key_name"].removeprefix(OWN),) for row in rows if row["attempt"] == 1)
    assert counted(seen, "pointsman_cache_own_calls_total", "purpose") == calls
    assert calls.total() > 0
    spent = sum(row["cost_nanousd"] or 0 for row in rows)
    assert counted(seen, "pointsman_cache_cost_usd_total").total() == spent > 0


def test_every_kind_of_outcome_was_there(seen: Observed) -> None:
    """So that the run proves what it says: all but guardrails, which there are none of, and bugs of our own."""
    assert {*Outcome} - seen.callers.outcomes.keys() == {Outcome.GUARDRAIL_BLOCK, Outcome.GATEWAY_ERROR}


@pytest.mark.parametrize("kind", ["input", "output", "cached_input", "reasoning"])
def test_tokens_are_those_that_upstreams_told(seen: Observed, kind: str) -> None:
    told = {model: seen.far.told[model, kind] for model in WHOLE if seen.far.told[model, kind]}
    found = counted(seen, "pointsman_tokens_total", "model", "type")
    elsewhere = of_crew(seen, kind)
    assert {model: found[model, kind] + elsewhere[model] for model in told} == told


def of_crew(seen: Observed, kind: str) -> Counter[str]:
    """What the other gateway's ledger says of the same upstreams."""
    found: Counter[str] = Counter()
    for row in seen.crew_ledger:
        found[row["model"]] += row[f"{kind}_tokens"] or 0
    return found


def test_the_cost_is_the_ledgers_to_the_nano_usd(seen: Observed) -> None:
    by_deployment = of_ledger(seen, "cost_nanousd", "deployment")
    assert by_deployment.total() > 0
    assert counted(seen, "pointsman_cost_usd_total", "deployment") == by_deployment


def test_prometheus_itself_adds_up_to_the_same_cost(seen: Observed) -> None:
    (total,) = seen.prometheus.instant(f'sum(pointsman_cost_usd_total{{instance="{seen.main}"}})', seen.end_s)
    assert round(total.last * NANO) == of_ledger(seen, "cost_nanousd").total()


def test_a_provider_that_bills_itself_is_believed(seen: Observed) -> None:
    """Its bill is what the upstream is owed; the margin comes on top of it, and on the metric."""
    rows = [row for row in seen.ledger if row["provider"] == "broker" and row["price_source"] == "provider"]
    assert sum(row["upstream_nanousd"] for row in rows) == seen.far.billed_nanousd > 0
    charged = counted(seen, "pointsman_cost_usd_total", "provider", "source")["broker", "provider"]
    assert charged == sum(row["cost_nanousd"] for row in rows) > seen.far.billed_nanousd


def test_teams_are_charged_what_their_rows_say(seen: Observed) -> None:
    assert counted(seen, "pointsman_team_cost_usd_total", "team") == of_ledger(seen, "cost_nanousd", "team")


@pytest.mark.parametrize(
    ("component", "column"),
    [("input", "input_nanousd"), ("cached_input", "cached_input_nanousd"), ("output", "output_nanousd")],
)
def test_each_component_is_the_ledgers(seen: Observed, component: str, column: str) -> None:
    found = counted(seen, "pointsman_cost_usd_total", "component")
    assert found[component,] == of_ledger(seen, column).total() > 0


def test_each_attempt_is_a_row(seen: Observed) -> None:
    rows = Counter((str(row["deployment"]), str(row["outcome"])) for row in seen.ledger if row["attempt"])
    assert counted(seen, "pointsman_upstream_attempts_total", "deployment", "outcome") == rows


def test_what_has_no_price_is_counted_apart(seen: Observed) -> None:
    unpriced = sum(1 for row in seen.ledger if row["unpriced_reason"])
    assert counted(seen, "pointsman_unpriced_requests_total").total() == unpriced > 0


def test_estimates_are_counted_as_the_ledger_marks_them(seen: Observed) -> None:
    estimated = sum(1 for row in seen.ledger if row["estimated"] and row["attempt"])
    assert counted(seen, "pointsman_estimated_usage_total").total() == estimated > 0


def test_what_hits_saved_is_the_ledgers(seen: Observed) -> None:
    saved = sum(row["saved_nanousd"] or 0 for row in seen.ledger)
    assert counted(seen, "pointsman_cache_saved_usd_total").total() == saved > 0


def test_counters_of_workers_never_go_back(seen: Observed) -> None:
    """Although one of the two was killed at half time, and another took its place."""
    for family in ("pointsman_requests_total", "pointsman_upstream_attempts_total", "pointsman_tokens_total"):
        span = f"{round(seen.end_s - seen.start_s)}s"
        found = seen.prometheus.instant(f'max(resets({family}{{instance="{seen.crew}"}}[{span}]))', seen.end_s)
        assert [series.last for series in found] == [0.0], family


def test_a_killed_worker_takes_a_second_of_counts_with_it_at_most(seen: Observed) -> None:
    (total,) = seen.prometheus.instant(f'sum(pointsman_requests_total{{instance="{seen.crew}"}})', seen.end_s)
    told = seen.crew_callers.outcomes.total()
    assert told - 6 <= total.last <= told + seen.crew_callers.lost
