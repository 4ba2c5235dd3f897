from __future__ import annotations

from gateway.commands.wait import backoff_s


def test_each_wait_is_twice_the_one_before_up_to_a_bound() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4, 5, 6, 10**9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
