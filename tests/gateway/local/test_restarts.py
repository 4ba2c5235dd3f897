from __future__ import annotations

from gateway.local.restarts import RestartPolicy

POLICY = RestartPolicy()


def test_waits_double_up_to_the_longest() -> None:
    policy = RestartPolicy(deaths_allowed=100)
    waits = [policy.wait_s(tuple(map(float, range(count)))) for count in range(1, 12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 30.0


def test_five_deaths_in_five_minutes_are_hopeless() -> None:
    deaths: tuple[float, ...] = ()
    for now in range(5):
        assert not POLICY.is_hopeless(deaths)
        deaths = POLICY.record(deaths, float(now), lived_s=0.0)
    assert POLICY.is_hopeless(deaths)
    assert POLICY.wait_s(deaths) == 30.0


def test_a_stable_life_clears_the_record() -> None:
    assert POLICY.record((1.0, 2.0, 3.0), 70.0, lived_s=60.0) == (70.0,)


def test_old_deaths_are_forgotten() -> None:
    assert POLICY.record((0.0, 250.0), 310.0, lived_s=0.0) == (250.0, 310.0)
