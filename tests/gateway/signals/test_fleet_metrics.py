from __future__ import annotations

from gateway.signals import telemetry
from gateway.signals.fleet_metrics import watch_fleet
from gateway.signals.metrics import Registry
from gateway.state.fleet import Fleet
from policies.vocabulary import Deployment, Failure, FailureKind

FIRST = Deployment("c", "q", "openai", "m", credential="first")
SECOND = Deployment("c", "q", "openai", "m", credential="second")
PLAIN = Deployment("a", "p", "openai", "m")
UNAUTHORIZED = Failure(FailureKind.STATUS, status=401)


def test_a_deployment_is_as_well_as_the_best_of_its_credentials() -> None:
    fleet, registry = Fleet(lambda: 0.0), Registry()
    watch_fleet(registry, fleet)
    for deployment in (FIRST, SECOND, PLAIN):
        fleet.state_of(deployment)
    fleet.lease(FIRST).fail(UNAUTHORIZED)
    shown = {family.family.name: dict(family.values) for family in registry.snapshot()}
    assert shown[telemetry.CIRCUIT_STATE.name] == {("c",): 0, ("a",): 0}
    assert shown[telemetry.DEPLOYMENT_UP.name] == {("c",): True, ("a",): True}
    assert shown[telemetry.CREDENTIAL_CIRCUIT_STATE.name] == {("c", "first"): 2, ("c", "second"): 0}
    assert shown[telemetry.CREDENTIAL_STATE.name] == {("q", "first"): 2, ("q", "second"): 0, ("p", ""): 0}
    assert shown[telemetry.CREDENTIAL_REFUSED.name] == {("q", "first"): 1, ("q", "second"): 0, ("p", ""): 0}
    fleet.lease(SECOND).fail(UNAUTHORIZED)
    shown = {family.family.name: dict(family.values) for family in registry.snapshot()}
    assert shown[telemetry.CIRCUIT_STATE.name] == {("c",): 2, ("a",): 0}
    assert shown[telemetry.DEPLOYMENT_UP.name] == {("c",): False, ("a",): True}
