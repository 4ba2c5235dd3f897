from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.state.breakers import QUIET_S
from gateway.state.fleet import Fleet
from policies.breaker import Phase
from policies.vocabulary import Deployment, Failure, FailureKind

if TYPE_CHECKING:
    import pytest

A = Deployment("a", "p", "openai", "m")
KEYED = Deployment("b", "q", "openai", "m", credential="first")
DOWN = Failure(FailureKind.STATUS, "sk-secret at 10.0.0.7", status=503)
UNAUTHORIZED = Failure(FailureKind.STATUS, "sk-secret is wrong", status=401)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def end(fleet: Fleet, deployment: Deployment, failure: Failure | None = None) -> None:
    lease = fleet.lease(deployment, forced=True)
    if failure is None:
        lease.succeed()
    else:
        lease.fail(failure)
    lease.release()


def test_each_turn_is_told_once_however_many_attempts_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fleet = Fleet(Clock())
    for _ in range(50):
        end(fleet, A, DOWN)
    end(fleet, A)
    end(fleet, A)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "deployment a is set aside for 5 s: status 503"),
        ("INFO", "deployment a is back"),
    ]


def test_a_refused_credential_is_an_alarm_that_names_it_and_shows_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = Fleet(Clock())
    for _ in range(50):
        end(fleet, KEYED, UNAUTHORIZED)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the credential first of provider q is set aside for 60 s: status 401"),
    ]
    assert fleet.state_of(KEYED).credential.refused == 50


def test_what_flaps_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    fleet = Fleet(clock)
    for _ in range(100):
        for _ in range(5):
            end(fleet, A, DOWN)
        assert fleet.state_of(A).phase is Phase.OPEN
        end(fleet, A)
    assert len(caplog.records) == 2
    clock.now += QUIET_S
    for _ in range(5):
        end(fleet, A, DOWN)
    assert len(caplog.records) == 3


def test_a_sign_of_life_lets_the_next_call_try(caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(Clock())
    for _ in range(5):
        end(fleet, A, DOWN)
    assert fleet.awaits_sign_of_life(A)
    fleet.note_probe(A, None)
    assert not fleet.awaits_sign_of_life(A)
    assert not fleet.set_aside((A,))
    probe = fleet.lease(A)
    assert fleet.set_aside((A,)), "one at a time"
    probe.answer()
    assert fleet.state_of(A).phase is Phase.CLOSED
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_a_failed_probe_counts_like_an_attempt_but_prolongs_nothing() -> None:
    fleet = Fleet(Clock())
    for _ in range(5):
        assert not fleet.set_aside((A,))
        fleet.note_probe(A, DOWN)
    until_s = fleet.set_aside((A,))
    assert until_s
    fleet.note_probe(A, DOWN)
    assert fleet.set_aside((A,)) == until_s
    assert (fleet.state_of(A).probes, fleet.state_of(A).probes_failed) == (6, 6)
    assert fleet.state_of(A).attempts == 0


def test_a_probe_that_is_turned_down_says_nothing_of_the_credential_or_of_a_wait_that_was_asked_for() -> None:
    fleet = Fleet(Clock())
    for _ in range(9):
        fleet.note_probe(A, UNAUTHORIZED)
    assert not fleet.set_aside((A,))
    end(fleet, A, Failure(FailureKind.STATUS, status=429, retry_after_s=30.0))
    assert not fleet.awaits_sign_of_life(A)
    fleet.note_probe(A, None)
    assert fleet.set_aside((A,)) == {"a": 130.0}
