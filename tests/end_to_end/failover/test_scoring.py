from __future__ import annotations

from dataclasses import replace

import pytest

from tests.end_to_end.failover import scoring as on
from tests.end_to_end.failover.scenarios import SCALED, SCENARIOS, TRUE
from tests.end_to_end.failover.scoring import Check, Ended, Heard, Seen, Verdict, score
from tests.wall_faults import FAULTS, TEXT, Attempt

GOOD = Heard(Ended.ANSWERED, 1.0, text=TEXT, model="ok.spare", usage={"completion_tokens": 60}, done=True)
REFUSED = Heard(Ended.ERROR, 1.0, error="502 upstream_error")
PART = replace(GOOD, text=TEXT[:50])
HUNG = Heard(Ended.HUNG, 45.0)
NEVER, ADVICE = Check("never", lambda _: False), Check("advice", lambda _: False, advises=True)
TOLD = Check("told", lambda _: False, tells=True)


def attempt(at_s: float, did: str = "answered") -> Attempt:
    return Attempt(at_s, "m", 1, is_stream=True, continues="", prompt_words=1, did=did)


def seen(*calls: Heard, primary: tuple[Attempt, ...] = (), spare: tuple[Attempt, ...] = ()) -> Seen:
    return Seen(calls, primary, spare, "ok.spare")


@pytest.mark.parametrize(
    ("calls", "checks", "error_is_best", "verdict"),
    [
        ((GOOD,), (), False, Verdict.PASS),
        ((GOOD,), (ADVICE,), False, Verdict.PARTIAL),
        ((GOOD,), (TOLD,), False, Verdict.PASS),
        ((GOOD,), (NEVER,), False, Verdict.FAIL),
        ((REFUSED,), (), False, Verdict.SAFE),
        ((REFUSED,), (ADVICE,), False, Verdict.SAFE),
        ((REFUSED,), (NEVER,), False, Verdict.FAIL),
        ((REFUSED,), (), True, Verdict.PASS),
        ((GOOD,), (), True, Verdict.PARTIAL),
        ((PART,), (), False, Verdict.FAIL),
        ((replace(PART, done=False),), (), False, Verdict.FAIL),
        ((HUNG,), (), False, Verdict.FAIL),
        ((HUNG,), (), True, Verdict.FAIL),
        ((GOOD, REFUSED), (), False, Verdict.SAFE),
        ((GOOD, HUNG, GOOD), (), False, Verdict.FAIL),
        ((GOOD, PART, GOOD), (), False, Verdict.FAIL),
    ],
)
def test_verdicts(calls: tuple[Heard, ...], checks: tuple[Check, ...], error_is_best: bool, verdict: Verdict) -> None:  # noqa: FBT001 - a parameter
    assert score(checks, seen(*calls), error_is_best=error_is_best).verdict is verdict


@pytest.mark.parametrize(
    ("call", "broken"),
    [
        (replace(REFUSED, text=TEXT[:20]), ()),
        (replace(REFUSED, text="What? " + TEXT[:20]), ("begins as the true text does",)),
        (replace(REFUSED, text=TEXT[:20] + TEXT[:20]), ("begins as the true text does",)),
        (replace(REFUSED, text=TEXT[:20], done=True), ("[DONE] exactly when whole",)),
        (replace(GOOD, done=False), ("[DONE] exactly when whole",)),
    ],
)
def test_what_binds_in_every_scenario(call: Heard, broken: tuple[str, ...]) -> None:
    assert score((), seen(call)).broken == broken


def test_shared_checks_see_what_they_name() -> None:
    twice = seen(GOOD, primary=(attempt(10.0, "503"), attempt(11.0)))
    assert on.tried_at_least(2)(twice)
    assert not on.tried_at_least(3)(twice)
    assert not on.tried_once(twice)
    assert on.waited_at_least(1.0)(twice)
    assert not on.waited_at_least(1.1)(twice)
    assert not on.waited_at_least(0.0)(seen(GOOD, primary=(attempt(1.0),)))
    assert on.at_most_within(1, 1.0)(twice)
    assert not on.at_most_within(1, 1.1)(twice)
    assert on.within(1.0)(twice)
    assert not on.within(0.9)(twice)


def test_the_reported_model_counts_where_the_fallback_was_asked() -> None:
    stranger = replace(GOOD, model="other")
    assert on.names_the_spare(seen(stranger))
    assert not on.names_the_spare(seen(stranger, spare=(attempt(1.0),)))
    assert on.names_the_spare(seen(GOOD, spare=(attempt(1.0),)))


def test_a_refused_prefill_is_no_answer() -> None:
    refusal = attempt(1.0, "400 invalid_prefill")
    assert on.does_not_blame_prefill(seen(GOOD, spare=(refusal, attempt(2.0))))
    assert not on.does_not_blame_prefill(seen(REFUSED, spare=(refusal,)))


def test_an_outage_is_measured_from_the_first_attempt() -> None:
    calls = tuple(replace(GOOD, sent_s=5.0 + number) for number in range(10))
    primary = (attempt(5.0, "503 overloaded"), attempt(9.0, "503 overloaded"), attempt(12.5))
    outage = Seen(calls, primary, (), "ok.spare", outage_s=6.0)
    assert len(outage.during_outage) == 6
    assert outage.recovered_after_s == 1.5
    assert on.served_during_outage(outage)
    assert on.recovered_within(1.5)(outage)
    assert not on.recovered_within(1.0)(outage)
    assert on.probes_sparingly(outage)
    assert not on.served_during_outage(replace(outage, calls=(REFUSED, *calls)))
    assert not on.recovered_within(30.0)(replace(outage, primary=primary[:2]))


def test_there_are_sixteen_scenarios_with_faults_that_exist() -> None:
    assert [scenario.id for scenario in SCENARIOS] == [f"S{number:02}" for number in range(1, 17)]
    assert {model for scenario in SCENARIOS for model in (scenario.fault, scenario.spare)} <= set(FAULTS)
    for scenario in SCENARIOS:
        for profile in (TRUE, SCALED):
            names = [check.name for check in scenario.checks(profile.limits)]
            assert len(names) == len(set(names))


def test_the_full_profile_scales_nothing() -> None:
    assert (TRUE.route, TRUE.provider) == ({}, {})
    assert (TRUE.timing.first_token_s, TRUE.timing.stall_s, TRUE.timing.silence_s) == (20, 30, 120)
