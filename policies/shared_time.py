"""Whose the time of a server is that serves many at once: a clock that goes the slower, the more share it.

Where `n` requests are under way, each has an n-th of every moment. The clock shows how much one of them has had since
the beginning: it advances by dt / n, so a request's part is how far it went between its arrival and its end. That takes
one division per event, whatever the number of requests, and nothing is lost: all parts together, with a rest that is
smaller than the largest number of requests in nanoseconds, are the time in which there was any request.

Over a network that is an estimate, since a long prompt works a server harder than a short one. Nanoseconds are whole.
"""

from __future__ import annotations

from typing import NamedTuple


class SharedTime(NamedTuple):
    """The clock as it stood at `at_ns`. `shown_ns` is what each of the `active` has had since the beginning, `rest_ns`
    what could not be divided among them yet, `busy_ns` the time in which there were any.
    """

    at_ns: int
    shown_ns: int = 0
    rest_ns: int = 0
    busy_ns: int = 0
    active: int = 0


class Part(NamedTuple):
    """What one group of the requests has had together, and where the clock stood then."""

    shown_ns: int = 0
    had_ns: int = 0
    active: int = 0


def advanced(clock: SharedTime, now_ns: int) -> SharedTime:
    """The clock as it stands now. Time never runs backwards here, whatever `now_ns` says."""
    at_ns, shown_ns, rest_ns, busy_ns, active = clock
    passed_ns = now_ns - at_ns
    if passed_ns <= 0:
        return clock
    if not active:
        return SharedTime(now_ns, shown_ns, rest_ns, busy_ns, 0)
    step_ns, rest_ns = divmod(passed_ns + rest_ns, active)
    return SharedTime(now_ns, shown_ns + step_ns, rest_ns, busy_ns + passed_ns, active)


def joined(clock: SharedTime, now_ns: int) -> SharedTime:
    """One more is under way. What the clock shows then is where its part begins."""
    at_ns, shown_ns, rest_ns, busy_ns, active = advanced(clock, now_ns)
    return SharedTime(at_ns, shown_ns, rest_ns, busy_ns, active + 1)


def left(clock: SharedTime, now_ns: int) -> SharedTime:
    """One of them is over. What the clock shows then is where its part ends."""
    at_ns, shown_ns, rest_ns, busy_ns, active = advanced(clock, now_ns)
    return SharedTime(at_ns, shown_ns, rest_ns, busy_ns, active - 1 if active else 0)


def grown(part: Part, clock: SharedTime, change: int = 0) -> Part:
    """A group's part as the clock stands, which may be one larger or smaller from here on."""
    before_ns, had_ns, active = part
    return Part(clock.shown_ns, had_ns + active * (clock.shown_ns - before_ns), max(0, active + change))
