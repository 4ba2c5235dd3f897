from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.calendars import REMEMBERED_MAX, Calendars, edges
from policies.vocabulary import Period

# Half and quarter hours, clocks that change at or across midnight, a day that was skipped, summer time of half an hour.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Toronto",
    "Africa/Cairo",
    "Asia/Beirut",
    "Africa/Monrovia",
)
INSTANTS = st.floats(-1.8e9, 4e9) | st.integers(-(10**9), 4 * 10**9).map(float)
ANYWHERE = st.sampled_from([ZoneInfo(name) for name in ZONES])


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def begins(period: Period, local: datetime) -> bool:
    """A window begins on this date, as `datetime` tells it."""
    return (
        period is Period.DAY
        or (period is Period.WEEK and local.isoweekday() == 1)
        or (period is Period.MONTH and local.day == 1)
    )


@given(st.sampled_from(Period), ANYWHERE, INSTANTS)
@example(Period.DAY, ZoneInfo("Pacific/Apia"), at("2011-12-29T23:59", "Pacific/Apia"))
@example(Period.DAY, ZoneInfo("America/Toronto"), at("1919-03-30T23:45", "America/Toronto"))
def test_windows_hold_the_moment_and_follow_each_other(period: Period, zone: ZoneInfo, now_s: float) -> None:
    found = edges(period, zone, now_s)
    assert found.start_s <= now_s < found.next_s < found.end_of_next_s
    assert edges(period, zone, found.start_s) == found
    assert edges(period, zone, found.next_s)[:2] == found[1:]


@given(st.sampled_from(Period), ANYWHERE, st.floats(1.4e9, 4e9))
def test_today_each_window_begins_with_its_first_day(period: Period, zone: ZoneInfo, now_s: float) -> None:
    for edge_s in edges(period, zone, now_s):
        first, before = (datetime.fromtimestamp(s, zone) for s in (edge_s, edge_s - 1))
        assert begins(period, first)
        assert before.date() < first.date()
        assert first.hour in (0, 1)
        assert first.hour == 0 or first.utcoffset() != before.utcoffset()


@given(st.sampled_from(Period), ANYWHERE, st.floats(1.4e9, 4e9))
def test_windows_are_as_long_as_their_days(period: Period, zone: ZoneInfo, now_s: float) -> None:
    days = {Period.DAY: (1, 1), Period.WEEK: (7, 7), Period.MONTH: (28, 31)}[period]
    for start_s, next_s in pairwise(edges(period, zone, now_s)):
        assert days[0] * 86_400 - 3600 <= next_s - start_s <= days[1] * 86_400 + 3600


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("Europe/Berlin", "2026-10-26T12:00", 24),
        ("Australia/Lord_Howe", "2026-04-05T12:00", 24.5),
        ("Australia/Lord_Howe", "2026-10-04T12:00", 23.5),
        ("America/Havana", "2026-03-08T12:00", 23),  # midnight does not exist
        ("America/Havana", "2026-11-01T12:00", 25),  # midnight comes twice
        ("Pacific/Apia", "2011-12-31T12:00", 24),  # the day before never was
    ],
)
def test_days_on_which_clocks_change(zone: str, moment: str, hours: float) -> None:
    found = edges(Period.DAY, ZoneInfo(zone), at(moment, zone))
    assert (found.next_s - found.start_s) / 3600 == hours


@pytest.mark.parametrize(
    ("period", "start", "next_start", "end"),
    [
        (Period.DAY, "2026-12-31", "2027-01-01", "2027-01-02"),
        (Period.WEEK, "2026-12-28", "2027-01-04", "2027-01-11"),
        (Period.MONTH, "2026-12-01", "2027-01-01", "2027-02-01"),
    ],
)
def test_the_last_evening_of_a_year(period: Period, start: str, next_start: str, end: str) -> None:
    expected = tuple(at(text, "Asia/Kathmandu") for text in (start, next_start, end))
    assert edges(period, ZoneInfo("Asia/Kathmandu"), at("2026-12-31T23:00", "Asia/Kathmandu")) == expected


def test_an_orgs_windows_are_worked_out_once_each() -> None:
    asked: list[str] = []

    def zone_of(org: str) -> ZoneInfo:
        asked.append(org)
        return ZoneInfo("Europe/Berlin")

    calendars = Calendars(zone_of)
    noon = at("2026-10-25T12:00", "Europe/Berlin")
    day = edges(Period.DAY, ZoneInfo("Europe/Berlin"), noon)
    assert [calendars.edges(Period.DAY, "acme", noon + s) for s in (0, 1, -3600)] == [day] * 3
    assert asked == ["acme"]
    assert calendars.edges(Period.DAY, "acme", day.next_s)[:2] == day[1:]
    assert calendars.edges(Period.DAY, "acme", noon) == day  # a clock that went back
    assert asked == ["acme"] * 3


def test_what_is_remembered_is_bounded() -> None:
    calendars = Calendars(lambda _: UTC)
    for number in range(REMEMBERED_MAX + 5):
        calendars.edges(Period.DAY, f"org-{number}", 0.0)
    assert len(calendars._known) <= REMEMBERED_MAX
    assert calendars.edges(Period.DAY, "org-0", timedelta(days=1).total_seconds()).start_s == 86_400
