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
    assert shown[telemetry.KEY_UP.name] == {("c", "first"): False, ("c", "second"): True, ("a", ""): True}
    assert shown[telemetry.CREDENTIAL_STATE.name] == {("q", "first"): 2, ("q", "second"): 0, ("p", ""): 0}
    assert shown[telemetry.CREDENTIAL_REFUSED.name] == {("q", "first"): 1, ("q", "second"): 0, ("p", ""): 0}
    fleet.lease(SECOND).fail(UNAUTHORIZED)
    shown = {family.family.name: dict(family.values) for family in registry.snapshot()}
    assert shown[telemetry.CIRCUIT_STATE.name] == {("c",): 2, ("a",): 0}
    assert shown[telemetry.DEPLOYMENT_UP.name] == {("c",): False, ("a",): True}


def test_the_deployments_of_the_policy_in_force_are_told_of_before_their_first_call() -> None:
    fleet, registry = Fleet(lambda: 0.0), Registry()
    known = [FIRST, PLAIN]
    watch_fleet(registry, fleet, lambda: known)

    def up() -> dict[tuple[str, ...], object]:
        return {
            labels: value
            for one in registry.snapshot()
            if one.family is telemetry.DEPLOYMENT_UP
            for labels, value in one.values
        }

    assert up() == {("c",): True, ("a",): True}
    known.remove(PLAIN)
    fleet.keep_only(frozenset({FIRST.id}), frozenset())
    assert up() == {("c",): True}
