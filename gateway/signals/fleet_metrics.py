"""What a scrape reads of the fleet: breakers, credentials and retry budgets as they are at that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals import telemetry
from policies.breaker import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.signals.metrics import Labels, Registry
    from gateway.state.fleet import Fleet
    from gateway.state.leases import DeploymentState
    from policies.vocabulary import Deployment

CIRCUIT: Final = {Phase.CLOSED: 0, Phase.HALF_OPEN: 1, Phase.OPEN: 2}


def watch_fleet(registry: Registry, fleet: Fleet, known: Callable[[], Iterable[Deployment]] = tuple) -> None:
    """Let scrapes read the fleet; nothing is counted on the path for them. `known` are the deployments of the policy in
    force, which are told of before their first call.
    """

    def states() -> tuple[DeploymentState, ...]:
        for deployment in known():
            fleet.state_of(deployment)
        return fleet.states()

    sample = registry.sample
    sample(telemetry.KEY_UP, lambda: _keys(states()))
    sample(telemetry.CIRCUIT_STATE, lambda: list(_circuits(states()).items()))
    sample(telemetry.DEPLOYMENT_UP, lambda: [(labels, state == 0) for labels, state in _circuits(states()).items()])
    sample(telemetry.CREDENTIAL_CIRCUIT_STATE, lambda: _circuits_by_credential(states()))
    sample(telemetry.RETRIES_REFUSED, lambda: [(_labels(state), state.retries_refused) for state in fleet.states()])
    sample(telemetry.PROBES, lambda: list(_probes(fleet)))
    sample(telemetry.CREDENTIAL_STATE, lambda: [((c.provider, c.name), CIRCUIT[c.phase]) for c in fleet.credentials()])
    sample(telemetry.CREDENTIAL_REFUSED, lambda: [((c.provider, c.name), c.refused) for c in fleet.credentials()])


def _labels(state: DeploymentState) -> Labels:
    return state.deployment.name, state.deployment.credential


def _keys(states: Iterable[DeploymentState]) -> list[tuple[Labels, float]]:
    """Whether the provider takes the credential: its own breaker says, which opens for nothing else."""
    return [(_labels(state), state.credential.phase is not Phase.OPEN) for state in states]


def _circuits(states: Iterable[DeploymentState]) -> dict[Labels, float]:
    """By name: a deployment is as well as the best of its credentials."""
    found: dict[Labels, float] = {}
    for state in states:
        name = (state.deployment.name,)
        found[name] = min(found.get(name, 2), CIRCUIT[state.phase])
    return found


def _circuits_by_credential(states: Iterable[DeploymentState]) -> list[tuple[Labels, float]]:
    return [(_labels(state), CIRCUIT[state.phase]) for state in states if state.deployment.credential]


def _probes(fleet: Fleet) -> Iterator[tuple[Labels, float]]:
    for state in fleet.states():
        if state.probes:
            yield (*_labels(state), "ok"), state.probes - state.probes_failed
            yield (*_labels(state), "failed"), state.probes_failed
