"""Each deployment as operators are shown it: by name, with what differs between its credentials below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.breaker import Phase
from policies.latency import ttft_quantile_s, usual_output_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.generation import Generation
    from gateway.state.breakers import Credential
    from gateway.state.fleet import Fleet
    from gateway.state.leases import DeploymentState
    from gateway.upstream import Upstream
    from policies.vocabulary import Deployment, Failure

Shown = dict[str, object]

BEST_FIRST: Final = (Phase.CLOSED, Phase.HALF_OPEN, Phase.OPEN)


def describe_deployments(generation: Generation, fleet: Fleet) -> list[Shown]:
    """In the order of the policy. Credentials are named as the policy names them; no secret, no host, no upstream's
    words.
    """
    by_name: dict[str, list[str]] = {}
    for id_, deployment in generation.deployments.items():
        by_name.setdefault(deployment.name, []).append(id_)
    return [_describe(generation, fleet, ids) for ids in by_name.values()]


def _describe(generation: Generation, fleet: Fleet, ids: list[str]) -> Shown:
    known = [generation.deployments[id_] for id_ in ids]
    below = [_under_credential(d, generation.upstreams[d.id], fleet) for d in known]
    states = [fleet.state_of(deployment) for deployment in known]
    first = known[0]
    latest = max(states, key=lambda state: state.last_failed_s)
    shown: Shown = {
        "name": first.name,
        "provider": first.provider,
        "model": first.model,
        "region": first.region,
        "ready": any(generation.upstreams[id_].ready for id_ in ids),
        "breaker": min((state.phase for state in states), key=BEST_FIRST.index),
        "in_flight": sum(state.in_flight for state in states),
        "attempts": sum(state.attempts for state in states),
        "failures": sum(state.failures for state in states),
        "last_failure": _failure(latest.last_failure),
    }
    if len(below) == 1 and not first.credential:
        return shown | below[0]
    return shown | {"credentials": [{"name": d.credential} | row for d, row in zip(known, below, strict=True)]}


def _under_credential(deployment: Deployment, upstream: Upstream, fleet: Fleet) -> Shown:
    state = fleet.state_of(deployment)
    live: Mapping[str, str | int | float | None] = upstream.describe()
    budget_credits = fleet.retry_credits(deployment)
    shown: Shown = {
        "breaker": state.phase,
        "set_aside_s": fleet.set_aside_s(deployment),
        "in_flight": state.in_flight,
        "in_flight_tokens": state.in_flight_tokens,
        "attempts": state.attempts,
        "failures": state.failures,
        "last_failure": _failure(state.last_failure),
        "latency": _latency(state, fleet),
        "retry_budget": {"credits": round(budget_credits, 1), "refused": state.retries_refused},
        "credential": _credential(state.credential),
        "live": dict(live),
    }
    if deployment.health is not None:
        shown["health"] = {"probes": state.probes, "failed": state.probes_failed}
    return shown


def _latency(state: DeploymentState, fleet: Fleet) -> Shown:
    """In seconds; None before any answer came as a stream."""
    latency, now = state.latency, fleet.clock()
    quantiles = {f"ttft_p{round(100 * q)}_s": ttft_quantile_s(latency, q, now) for q in (0.5, 0.95)}
    weight, spent = latency.between
    tokens = usual_output_tokens(latency)
    return {
        **{name: None if value is None else round(value, 4) for name, value in quantiles.items()},
        "per_token_s": round(spent / weight, 5) if weight else None,
        "output_tokens": None if tokens is None else round(tokens),
    }


def _credential(credential: Credential) -> Shown:
    return {
        "breaker": credential.phase,
        "refused": credential.refused,
        "last_refusal": _failure(credential.last_refusal),
    }


def _failure(failure: Failure | None) -> Shown | None:
    return None if failure is None else {"kind": failure.kind, "status": failure.status}
