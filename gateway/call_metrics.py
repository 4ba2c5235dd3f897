"""What one settled call adds to the metrics. The only place that knows which numbers go into which family."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gateway import telemetry
from gateway.settlement import OK
from gateway.telemetry import NONE, OTHER, Outcome, Unpriced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.call import Call
    from gateway.metrics import Registry
    from gateway.settlement import SettledCall, Settlement
    from policies.vocabulary import Cost, Route, Usage

_UNPRICED = frozenset(Unpriced)


class CallMetrics:
    """Holds the families of the request path; `add` belongs to the recorder."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.cells(telemetry.REQUESTS)
        self._request_duration = registry.histograms(telemetry.REQUEST_DURATION)
        self._overhead = registry.histograms(telemetry.OVERHEAD)
        self._attempts = registry.cells(telemetry.ATTEMPTS)
        self._upstream_duration = registry.histograms(telemetry.UPSTREAM_DURATION)
        self._first_token = registry.histograms(telemetry.FIRST_TOKEN)
        self._per_token = registry.histograms(telemetry.PER_TOKEN)
        self._tokens = registry.cells(telemetry.TOKENS)
        self._cost = registry.cells(telemetry.COST)
        self._team_requests = registry.cells(telemetry.TEAM_REQUESTS)
        self._team_tokens = registry.cells(telemetry.TEAM_TOKENS)
        self._team_cost = registry.cells(telemetry.TEAM_COST)
        self._unpriced = registry.cells(telemetry.UNPRICED)
        self._estimated = registry.cells(telemetry.ESTIMATED)
        self._fallbacks = registry.cells(telemetry.FALLBACKS)
        self._retries = registry.cells(telemetry.RETRIES)

    def declare(self, routes: Iterable[Route]) -> None:
        """Begin at zero what the policy makes possible: a rate needs two points, and an alert a series."""
        for route in routes:
            for model in (*route.models, OTHER):
                for outcome in Outcome:
                    self._requests.at(route.name, model, outcome.value)
            deployments = {target.deployment for target in route.targets} | set(route.fallbacks)
            for deployment in deployments:
                self._attempts.at(deployment.provider, deployment.name, deployment.model, OK)

    def add(self, settled: SettledCall, trace_id: str | None = None) -> None:
        """Count one call. `trace_id` is that of a kept trace, to be shown as an exemplar."""
        call = settled.call
        route = call.route.name if call.route is not None else NONE
        outcome = settled.outcome.value
        team = call.principal.team or NONE if call.principal is not None else NONE
        stream = "true" if call.request.stream else "false"
        self._requests.at(route, model_label(call), outcome).inc()
        self._request_duration.at(route, stream).observe(settled.duration_s, trace_id)
        self._overhead.at(route).observe(settled.overhead_s)
        self._team_requests.at(team, outcome).inc()
        for settlement in settled.attempts:
            self._add_attempt(settlement, team, trace_id)
            if call.request.stream:
                self._add_pace(settlement, trace_id)
        if len(settled.attempts) > 1:
            for before, after in pairwise(settled.attempts):
                self._add_move(before, after)

    def _add_attempt(self, settlement: Settlement, team: str, trace_id: str | None) -> None:
        deployment = settlement.attempt.deployment
        where = (deployment.provider, deployment.name, deployment.model)
        self._attempts.at(*where, settlement.outcome).inc()
        self._upstream_duration.at(*where).observe(settlement.duration_s, trace_id)
        self._add_tokens(where, team, settlement.usage)
        if settlement.cost is not None:
            self._add_cost(where, settlement.cost)
            self._team_cost.at(team, deployment.model).inc(settlement.cost.total_nanousd)
        elif settlement.unpriced is not None:
            reason = settlement.unpriced if settlement.unpriced in _UNPRICED else Unpriced.NO_PRICE.value
            self._unpriced.at(deployment.provider, deployment.model, reason).inc()
        if settlement.estimated is not None:
            self._estimated.at(deployment.provider, settlement.estimated.value).inc()

    def _add_tokens(self, where: tuple[str, str, str], team: str, usage: Usage) -> None:
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("cached_input", usage.cached_input_tokens),
            ("cache_write_input", usage.cache_write_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if tokens:
                self._tokens.at(*where, kind).inc(tokens)
                self._team_tokens.at(team, kind).inc(tokens)

    def _add_cost(self, where: tuple[str, str, str], cost: Cost) -> None:
        for component, nanousd in (
            ("input", cost.input_nanousd),
            ("cached_input", cost.cached_input_nanousd),
            ("cache_write", cost.cache_write_nanousd),
            ("output", cost.output_nanousd),
        ):
            if nanousd:
                self._cost.at(*where, component, cost.price.source).inc(nanousd)

    def _add_pace(self, settlement: Settlement, trace_id: str | None) -> None:
        attempt, usage = settlement.attempt, settlement.usage
        if attempt.first_token_s is None:
            return
        where = (attempt.deployment.provider, attempt.deployment.name, attempt.deployment.model)
        self._first_token.at(*where).observe(max(0.0, attempt.first_token_s - attempt.started_s), trace_id)
        if attempt.ended_s is not None and attempt.failure is None and usage.output_tokens > 1:
            spent_s = max(0.0, attempt.ended_s - attempt.first_token_s)
            self._per_token.at(*where).observe(spent_s / (usage.output_tokens - 1))

    def _add_move(self, before: Settlement, after: Settlement) -> None:
        here, there = before.attempt.deployment.name, after.attempt.deployment.name
        if here == there:
            self._retries.at(here, before.outcome).inc()
        else:
            self._fallbacks.at(here, there, before.outcome).inc()


def model_label(call: Call) -> str:
    """The model asked for where the policy spells it out; what merely matches a pattern is the caller's own word."""
    model = call.request.model
    return model if call.route is not None and model in call.route.models else OTHER
