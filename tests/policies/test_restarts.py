from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.restarts import RestartPolicy

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


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 100)), max_size=50))
def test_every_wait_lies_between_the_first_and_the_longest(lives: list[tuple[float, float]]) -> None:
    now = 0.0
    deaths: tuple[float, ...] = ()
    for pause_s, lived_s in lives:
        now += pause_s + lived_s
        deaths = POLICY.record(deaths, now, lived_s)
        assert POLICY.first_wait_s <= POLICY.wait_s(deaths) <= POLICY.longest_wait_s
