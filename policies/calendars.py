"""Where calendar windows begin: days, weeks and months as the people of an org count them, in instants.

A day has 23 to 25 hours where clocks change, and begins at whatever instant its first moment is; a midnight that clocks
skip or strike twice begins its day all the same, once. Windows follow each other without gap or overlap.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.vocabulary import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo

REMEMBERED_MAX: Final = 10_000
_DAY: Final = timedelta(days=1)


class Edges(NamedTuple):
    """In seconds since the epoch: where this window began, where the next one begins, and where that one ends."""

    start_s: float
    next_s: float
    end_of_next_s: float


def edges(period: Period, zone: tzinfo, now_s: float) -> Edges:
    """The window of `period` in `zone` that `now_s` lies in, and the one after it."""
    today = datetime.fromtimestamp(now_s, zone).date()
    # Clocks that change across a midnight may put a date before its window or after it, so one more is looked at.
    starts = _starts(period, zone, _begin(period, _begin(period, today) - _DAY))
    start_s, next_s = next(starts), next(starts)
    while next_s <= now_s:
        start_s, next_s = next_s, next(starts)
    return Edges(start_s, next_s, next(starts))


def _starts(period: Period, zone: tzinfo, first: date) -> Iterator[float]:
    """Where the windows begin, from that of the day `first` on; one that a skipped day leaves empty is none."""
    last_s = float("-inf")
    while True:
        start_s = datetime(first.year, first.month, first.day, tzinfo=zone).timestamp()
        if start_s > last_s:
            yield start_s
            last_s = start_s
        first = _following(period, first)


def _begin(period: Period, day: date) -> date:
    """The first day of the window that `day` is in."""
    if period is Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period is Period.MONTH else day


def _following(period: Period, first: date) -> date:
    """The first day of the next window."""
    if period is Period.DAY:
        return first + _DAY
    if period is Period.WEEK:
        return first + 7 * _DAY
    return (first.replace(day=28) + 4 * _DAY).replace(day=1)


class Calendars:
    """`edges` by org, remembered until the window is over."""

    def __init__(self, zone_of: Callable[[str], tzinfo]) -> None:
        self._zone_of = zone_of
        self._known: dict[tuple[Period, str], Edges] = {}

    def edges(self, period: Period, org: str, now_s: float) -> Edges:
        found = self._known.get((period, org))
        if found is None or not found.start_s <= now_s < found.next_s:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            found = self._known[period, org] = edges(period, self._zone_of(org), now_s)
        return found
