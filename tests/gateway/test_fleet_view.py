from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from adapters.base import Tally
from gateway.call import Attempt
from gateway.fleet_view import describe_deployments
from gateway.state.fleet import Fleet
from policies.route_rules import HealthRules
from policies.usage import Usage
from policies.vocabulary import Deployment, Failure, FailureKind

A = Deployment("a", "openai", "openai", "gpt-4o", region="eu")
FIRST = Deployment("c", "q", "openai", "m", credential="first")
SECOND = Deployment("c", "q", "openai", "m", credential="second")
UNAUTHORIZED = Failure(FailureKind.STATUS, "the key sk-secret at 10.0.0.7 is wrong", status=401)


class Upstream:
    ready = True

    def describe(self) -> dict[str, int]:
        return {"connections": 3}


def shown(fleet: Fleet, *deployments: Deployment) -> list[Any]:
    known = {deployment.id: deployment for deployment in deployments}
    generation = SimpleNamespace(deployments=known, upstreams={id_: Upstream() for id_ in known})
    return cast("list[Any]", json.loads(json.dumps(describe_deployments(cast("Any", generation), fleet))))


def test_a_deployment_with_one_credential_is_shown_flat() -> None:
    fleet = Fleet(lambda: 100.0)
    (idle,) = shown(fleet, A)
    assert idle["latency"] == {"ttft_p50_s": None, "ttft_p95_s": None, "per_token_s": None, "output_tokens": None}
    assert idle["retry_budget"] == {"credits": 10.0, "refused": 0}
    assert (idle["breaker"], idle["set_aside_s"], idle["last_failure"]) == ("closed", None, None)
    assert "credentials" not in idle
    assert "health" not in idle


def test_credentials_are_shown_below_their_deployment_by_name_and_nothing_that_was_said() -> None:
    fleet = Fleet(lambda: 100.0)
    lease = fleet.lease(FIRST)
    lease.fail(UNAUTHORIZED)
    lease.release()
    (both,) = shown(fleet, FIRST, SECOND)
    assert (both["name"], both["breaker"], both["attempts"], both["ready"]) == ("c", "closed", 1, True)
    first, second = both["credentials"]
    assert (first["name"], first["breaker"], first["set_aside_s"]) == ("first", "open", 60.0)
    assert first["credential"] == {"breaker": "open", "refused": 1, "last_refusal": {"kind": "status", "status": 401}}
    assert (second["name"], second["breaker"], second["set_aside_s"]) == ("second", "closed", None)
    assert "sk-secret" not in json.dumps(both)
    assert "10.0.0.7" not in json.dumps(both)


def test_latency_is_what_answers_took_lately() -> None:
    fleet = Fleet(lambda: 100.0)
    for _ in range(9):
        tally = Tally(usage=Usage(10, 21))
        fleet.lease(A).succeed(Attempt(1, A, 90.0, 90.5, 92.5, tally=tally))
    (one,) = shown(fleet, A)
    assert 0.4 < one["latency"]["ttft_p95_s"] < 0.6
    assert one["latency"]["per_token_s"] == 0.1
    assert one["latency"]["output_tokens"] == 21


def test_probes_are_shown_where_there_are_any() -> None:
    fleet = Fleet(lambda: 100.0)
    probed = replace(A, health=HealthRules())
    fleet.note_probe(probed, None)
    fleet.note_probe(probed, Failure(FailureKind.CONNECT))
    (one,) = shown(fleet, probed)
    assert one["health"] == {"probes": 2, "failed": 1}
