from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.restarts import FIRST_DELAY_S, LAST_DELAY_S, STABLE_AFTER_S, Lives, died


def test_a_worker_that_keeps_dying_waits_longer_each_time() -> None:
    lives, delays = Lives(), []
    for _ in range(10):
        lives, delay_s = died(lives, lived_s=1.0)
        delays.append(delay_s)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == LAST_DELAY_S


def test_a_long_life_wipes_the_slate() -> None:
    assert died(Lives(9), STABLE_AFTER_S) == (Lives(1), FIRST_DELAY_S)


@given(st.lists(st.floats(0, 100), max_size=200))
def test_no_wait_is_longer_than_the_last(lifetimes: list[float]) -> None:
    lives = Lives()
    for lived_s in lifetimes:
        lives, delay_s = died(lives, lived_s)
        assert FIRST_DELAY_S <= delay_s <= LAST_DELAY_S
