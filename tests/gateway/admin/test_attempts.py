from __future__ import annotations

import pytest

from gateway.admin.attempts import ADDRESSES_MAX, FAILURE_EVERY_S, FAILURES_MAX, FailedAttempts, origin_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_ten_at_once_then_one_in_six_seconds() -> None:
    clock = Clock()
    failed = FailedAttempts(clock)
    assert [failed.count("192.0.2.1") for _ in range(FAILURES_MAX)] == [0.0] * FAILURES_MAX
    assert failed.count("192.0.2.1") == FAILURE_EVERY_S
    assert failed.count("192.0.2.1") == FAILURE_EVERY_S, "waiting in vain makes nobody wait longer"
    assert failed.count("192.0.2.2") == 0.0, "others are others"
    clock.now_s += FAILURE_EVERY_S
    assert failed.count("192.0.2.1") == 0.0
    assert failed.count("192.0.2.1") > 0.0


def test_whoever_waits_as_long_as_told_may_fail_again() -> None:
    clock = Clock()
    failed = FailedAttempts(clock)
    for _ in range(1000):
        wait_s = failed.count("a")
        if wait_s:
            clock.now_s += wait_s
            assert failed.count("a") == 0.0


def test_no_more_addresses_are_kept_than_fit() -> None:
    failed = FailedAttempts(Clock())
    for number in range(ADDRESSES_MAX + 50):
        failed.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failed) == ADDRESSES_MAX


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
    ],
)
def test_a_network_of_one_holder_counts_as_one(peer: str, origin: str) -> None:
    assert origin_of(peer) == origin
