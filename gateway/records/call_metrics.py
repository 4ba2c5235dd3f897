"""What one settled call adds to the metrics. The only place that knows which numbers go into which family."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from gateway.records.settlement import OK
from gateway.signals import engine_telemetry, telemetry
from gateway.signals.cache_metrics import CacheMetrics
from gateway.signals.conventions import operation_of
from gateway.signals.telemetry import NANO, NONE, OTHER, Finish, Outcome, Unpriced
from policies.attempts import AttemptKind
from policies.matching import candidates, is_glob
from policies.pricing import source_of
from policies.tariffs import COMPONENTS
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from adapters.base import EngineTimes
    from gateway.call import Call
    from gateway.records.settlement import SettledCall, Settlement
    from gateway.signals.cache_metrics import CacheMeters
    from gateway.signals.metrics import Histogram, Registry
    from policies.usage import Cost, Usage
    from policies.vocabulary import Route

RequestKey = tuple[str, str, str, bool, str]
AttemptKey = tuple[str, str, str, str, str]
EndedKey = tuple[str, str, str, str, str, str | None, Endpoint]
Key = TypeVar("Key")
Meters = TypeVar("Meters")

_UNPRICED = frozenset(Unpriced)
_FINISHED = frozenset(Finish)
_TOKEN_TYPES = ("input", "cached_input", "cache_write_input", "output", "reasoning")
MOST_BOUND = 10_000


class RequestMeters:
    """What one kind of request adds to: bound once per route, model, outcome, stream and team."""

    __slots__ = ("duration", "overhead", "requests", "team_requests")

    def __init__(self, registry: Registry, key: RequestKey) -> None:
        route, model, outcome, stream, team = key
        self.requests = registry.cells(telemetry.REQUESTS).at(route, model, outcome)
        self.duration = registry.histograms(telemetry.REQUEST_DURATION).at(route, "true" if stream else "false")
        self.overhead = registry.histograms(telemetry.OVERHEAD).at(route)
        self.team_requests = registry.cells(telemetry.TEAM_REQUESTS).at(team, outcome)

    def add(self, duration_s: float, overhead_s: float, trace_id: str | None = None) -> None:
        self.requests.value += 1
        self.team_requests.value += 1
        self.duration.observe(duration_s, trace_id)
        self.overhead.observe(overhead_s)


class AttemptMeters:
    """What one kind of attempt adds to: bound once per deployment, outcome, team, reason to stop and endpoint."""

    __slots__ = ("attempts", "duration", "finish", "sizes", "team_tokens", "tokens")

    def __init__(self, registry: Registry, key: EndedKey) -> None:
        provider, deployment, model, outcome, team, finish, endpoint = key
        where, operation = (provider, deployment, model), operation_of(endpoint)
        reasons = registry.cells(telemetry.FINISH_REASONS)
        self.finish = None if finish is None else reasons.at(provider, deployment, model, finish)
        tokens, team_tokens = registry.cells(telemetry.TOKENS), registry.cells(telemetry.TEAM_TOKENS)
        self.sizes: tuple[Histogram, Histogram] | None = None
        if registry.has(telemetry.ATTEMPT_TOKENS):
            sizes = registry.histograms(telemetry.ATTEMPT_TOKENS)
            self.sizes = sizes.at(*where, "input", operation), sizes.at(*where, "output", operation)
        self.attempts = registry.cells(telemetry.ATTEMPTS).at(provider, deployment, model, outcome)
        self.duration = registry.histograms(telemetry.UPSTREAM_DURATION).at(*where, operation)
        self.tokens = [tokens.at(*where, kind, operation) for kind in _TOKEN_TYPES]
        self.team_tokens = [team_tokens.at(team, kind) for kind in _TOKEN_TYPES]

    def add(self, duration_s: float, usage: Usage, trace_id: str | None = None) -> None:
        self.attempts.value += 1
        if self.finish is not None:
            self.finish.value += 1
        if self.sizes is not None and usage.input_tokens + usage.output_tokens:
            self.sizes[0].observe(usage.input_tokens)
            self.sizes[1].observe(usage.output_tokens)
        self.duration.observe(duration_s, trace_id)
        input_, cached, written, output, reasoning = self.tokens
        team_input, team_cached, team_written, team_output, team_reasoning = self.team_tokens
        input_.value += usage.input_tokens
        team_input.value += usage.input_tokens
        output.value += usage.output_tokens
        team_output.value += usage.output_tokens
        if usage.cached_input_tokens:
            cached.value += usage.cached_input_tokens
            team_cached.value += usage.cached_input_tokens
        if usage.cache_write_tokens:
            written.value += usage.cache_write_tokens
            team_written.value += usage.cache_write_tokens
        if usage.reasoning_tokens:
            reasoning.value += usage.reasoning_tokens
            team_reasoning.value += usage.reasoning_tokens


class CostMeters:
    """What the cost of an attempt adds to: bound once per deployment, price source and team."""

    __slots__ = ("components", "team")

    def __init__(self, registry: Registry, key: AttemptKey) -> None:
        provider, deployment, model, source, team = key
        cost = registry.cells(telemetry.COST)
        self.components = [cost.at(provider, deployment, model, component, source) for component in COMPONENTS]
        self.team = registry.cells(telemetry.TEAM_COST).at(team, model)

    def add(self, cost: Cost) -> None:
        input_, cached, written, output, request, tool = self.components
        input_.value += cost.input_nanousd
        cached.value += cost.cached_input_nanousd
        written.value += cost.cache_write_nanousd
        output.value += cost.output_nanousd
        if cost.request_nanousd or cost.tool_nanousd:
            request.value += cost.request_nanousd
            tool.value += cost.tool_nanousd
        self.team.value += cost.total_nanousd


class CallMetrics:
    """Counts settled calls; `add` belongs to the recorder.

    Meters are bound when their kind is first seen: a call then costs three look-ups instead of twenty.
    """

    def __init__(self, registry: Registry, *, with_sizes: bool = False) -> None:
        self._registry = registry
        if with_sizes:
            registry.histograms(telemetry.ATTEMPT_TOKENS)
        self._requests: dict[RequestKey, RequestMeters] = {}
        self._attempts: dict[EndedKey, AttemptMeters] = {}
        self._costs: dict[AttemptKey, CostMeters] = {}
        self._first_token = registry.histograms(telemetry.FIRST_TOKEN)
        self._per_token = registry.histograms(telemetry.PER_TOKEN)
        self._unpriced = registry.cells(telemetry.UNPRICED)
        self._estimated = registry.cells(telemetry.ESTIMATED)
        self._corrected = registry.cells(telemetry.CORRECTED)
        self._phases = registry.histograms(engine_telemetry.LOCAL_PHASE)
        self._compute = registry.cells(engine_telemetry.LOCAL_COMPUTE)
        self._fallbacks = registry.cells(telemetry.FALLBACKS)
        self._retries = registry.cells(telemetry.RETRIES)
        self._cache: CacheMetrics | None = None
        self._moves = {
            AttemptKind.HEDGE: registry.cells(telemetry.HEDGES),
            AttemptKind.RESUME: registry.cells(telemetry.RESUMES),
        }

    def declare(self, routes: Iterable[Route]) -> None:
        """Begin at zero what the policy makes possible: a rate needs two points, and an alert a series."""
        requests, attempts = self._registry.cells(telemetry.REQUESTS), self._registry.cells(telemetry.ATTEMPTS)
        for route in routes:
            if route.cache is not None:
                self._caches().declare([route])
            spelled = [model for model in route.models if not is_glob(model)]
            for model in spelled if len(spelled) == len(route.models) else (*spelled, OTHER):
                for outcome in Outcome:
                    requests.at(route.name, model, outcome.value)
            for deployment in candidates(route):
                attempts.at(deployment.provider, deployment.name, deployment.model, OK)

    def add(self, settled: SettledCall, trace_id: str | None = None) -> None:
        """Count one call. `trace_id` is that of a kept trace, to be shown as an exemplar.

        What a cache asks by itself is no request: the promises that metrics check are made to callers. Its attempts
        count like all others, since tokens and money are the same whoever asked.
        """
        call, team = settled.call, _team(settled.call)
        if call.made_for is None:
            self._request_meters(settled, team).add(settled.duration_s, settled.overhead_s, trace_id)
        else:
            self._caches().made(call.made_for, settled.outcome, settled.cost_nanousd)
        if call.cached is not None and call.route is not None:
            self._caches().settled(call.route, call.cached)
        for settlement in settled.attempts:
            self._add_attempt(settlement, team, call.request.endpoint, trace_id)
            if call.request.stream:
                self._add_pace(settlement, call.request.endpoint, trace_id)
        if len(settled.attempts) > 1:
            for before, after in pairwise(settled.attempts):
                self._add_move(before, after)

    def meters_of(self, settled: SettledCall) -> tuple[RequestMeters, AttemptMeters, CostMeters]:
        """What a call of one attempt with a cost adds to."""
        settlement, team = settled.attempts[0], _team(settled.call)
        assert settlement.cost is not None  # noqa: S101 - the caller looked
        return (
            self._request_meters(settled, team),
            self._attempt_meters(settlement, team, settled.call.request.endpoint),
            self._cost_meters(settlement, settlement.cost, team),
        )

    def hit_meters_of(self, settled: SettledCall) -> RequestMeters:
        """What a call without an attempt adds to, beside its cache's."""
        return self._request_meters(settled, _team(settled.call))

    def cache_meters_of(self, call: Call) -> CacheMeters | None:
        """What a call adds to where its route has a cache."""
        if call.cached is None or call.route is None:
            return None
        return self._caches().meters_of(call.route, call.cached)

    def _caches(self) -> CacheMetrics:
        """Where no route has a cache, nothing is told of any."""
        self._cache = self._cache or CacheMetrics(self._registry)
        return self._cache

    def _request_meters(self, settled: SettledCall, team: str) -> RequestMeters:
        call = settled.call
        route = call.route.name if call.route is not None else NONE
        key = (route, model_label(call), settled.outcome._value_, call.request.stream, team)
        return self._requests.get(key) or self._bind(self._requests, RequestMeters, key)

    def _attempt_meters(self, settlement: Settlement, team: str, endpoint: Endpoint) -> AttemptMeters:
        deployment = settlement.attempt.deployment
        where = (deployment.provider, deployment.name, deployment.model)
        key = (*where, settlement.outcome, team, finish_label(settlement), endpoint)
        return self._attempts.get(key) or self._bind(self._attempts, AttemptMeters, key)

    def _cost_meters(self, settlement: Settlement, cost: Cost, team: str) -> CostMeters:
        deployment = settlement.attempt.deployment
        source = source_of(cost, settlement.usage)
        key = (deployment.provider, deployment.name, deployment.model, source, team)
        return self._costs.get(key) or self._bind(self._costs, CostMeters, key)

    def _add_attempt(self, settlement: Settlement, team: str, endpoint: Endpoint, trace_id: str | None) -> None:
        deployment = settlement.attempt.deployment
        self._attempt_meters(settlement, team, endpoint).add(settlement.duration_s, settlement.usage, trace_id)
        if settlement.cost is not None:
            self._cost_meters(settlement, settlement.cost, team).add(settlement.cost)
        elif settlement.unpriced is not None:
            reason = settlement.unpriced if settlement.unpriced in _UNPRICED else Unpriced.NO_PRICE.value
            self._unpriced.at(deployment.provider, deployment.model, reason).inc()
        if settlement.estimated is not None:
            self._estimated.at(deployment.provider, settlement.estimated.value).inc()
        for why in settlement.corrections:
            self._corrected.at(deployment.provider, deployment.model, why.value).inc()
        tally = settlement.attempt.tally
        if tally is not None and tally.engine is not None:
            self._add_engine(deployment.name, team, tally.engine)

    def _add_engine(self, deployment: str, team: str, times: EngineTimes) -> None:
        """A phase that did not come is no sample: whoever left in the queue read nothing."""
        phases = (("queue", times.queue_s), ("prefill", times.read_s), ("decode", times.write_s))
        for phase, spent_s in phases:
            if spent_s > 0.0 or phase == "queue":
                self._phases.at(deployment, phase).observe(spent_s)
        self._compute.at(deployment, team).value += round(times.compute_s * NANO)

    def _bind(self, bound: dict[Key, Meters], make: Callable[[Registry, Key], Meters], key: Key) -> Meters:
        meters = make(self._registry, key)
        if len(bound) < MOST_BOUND:
            bound[key] = meters
        return meters

    def _add_pace(self, settlement: Settlement, endpoint: Endpoint, trace_id: str | None) -> None:
        attempt, usage = settlement.attempt, settlement.usage
        if attempt.first_token_s is None:
            return
        deployment = attempt.deployment
        where = (deployment.provider, deployment.name, deployment.model, operation_of(endpoint))
        self._first_token.at(*where).observe(max(0.0, attempt.first_token_s - attempt.started_s), trace_id)
        if attempt.ended_s is not None and attempt.failure is None and usage.output_tokens > 1:
            spent_s = max(0.0, attempt.ended_s - attempt.first_token_s)
            self._per_token.at(*where).observe(spent_s / (usage.output_tokens - 1))

    def _add_move(self, before: Settlement, after: Settlement) -> None:
        here, there = before.attempt.deployment.name, after.attempt.deployment.name
        cells = self._moves.get(after.attempt.kind)
        if cells is not None:
            cells.at(here, there, after.outcome).inc()
        elif here == there:
            self._retries.at(here, before.outcome).inc()
        else:
            self._fallbacks.at(here, there, before.outcome).inc()


def _team(call: Call) -> str:
    return call.principal.team or NONE if call.principal is not None else NONE


def finish_label(settlement: Settlement) -> str | None:
    """Why the model stopped writing, in words that are known; None where it said nothing of that."""
    tally = settlement.attempt.tally
    if tally is None or not tally.finish_reasons:
        return None
    reason = tally.finish_reasons[0]
    return reason if reason in _FINISHED else OTHER


def model_label(call: Call) -> str:
    """The model asked for where the policy spells it out; what merely matches a pattern is the caller's own word."""
    model = call.request.model
    return model if call.route is not None and model in call.route.models else OTHER
