"""Orgs, teams, users and keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.config.owners import moment, time_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

ZONE = "must be a time zone that this machine knows, such as Europe/Berlin or UTC"
ORG = "must be 1 to 100 letters, digits and . _ @ - and begin with a letter or digit"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:30:00", datetime(2027, 1, 31, 12, 30, tzinfo=UTC)),
        ("2027-01-31T12:30:00Z", datetime(2027, 1, 31, 12, 30, tzinfo=UTC)),
        ("2027-01-31T12:30:00+02:00", datetime(2027, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_dates_and_times_are_utc_unless_they_say_otherwise(text: str, expected: datetime) -> None:
    assert moment(text) == moment(moment(text)) == expected


@pytest.mark.parametrize("value", ["", "tomorrow", "2027-13-01", 1_800_000_000, None, "31.01.2027"])
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a date or time such as"):
        moment(value)


def test_utc_needs_no_database() -> None:
    assert time_zone("UTC") is UTC


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Land", "../etc/passwd", "/etc/localtime", "Europe", "x" * 5000, "a\0", "é"]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a time zone that this machine knows"):
        time_zone(name)


def test_owners_are_taken(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ["KEY"] = "k" * 20
    config = made(
        orgs="{acme: {timezone: Asia/Kathmandu, weight: 3, limits: {cost: $1/day}}, other: {}}",
        teams="{free: {org: acme, weight: 2}, rest: {}}",
        users="{ada: {org: acme, limits: [{requests: 1/s}, {requests: 9/h}]}}",
        keys="[{name: a, secret: '${env:KEY}', org: acme, team: free, user: ada, tags: one, max_output_tokens: 5}]",
    )
    acme, other = config.orgs.values()
    assert (acme.timezone, acme.weight, len(acme.limits)) == ("Asia/Kathmandu", 3, 1)
    assert (other.timezone, other.weight, other.limits) == ("UTC", 1, ())
    assert [(team.org, team.weight) for team in config.teams.values()] == [("acme", 2), ("default", 1)]
    assert [(user.org, len(user.limits)) for user in config.users.values()] == [("acme", 2)]
    (key,) = config.keys
    assert (key.org, key.tags, key.max_output_tokens, key.limits) == ("acme", ("one",), 5, ())


@pytest.mark.parametrize(
    ("orgs", "found"),
    [
        ("{'a:b': {}}", [f"orgs.a:b: {ORG}"]),
        ("{'a|b': {}}", [f"orgs.a|b: {ORG}"]),
        ("{'{a}': {}}", [f"orgs.{{a}}: {ORG}"]),
        ("{a: 5}", ["orgs.a: must be a mapping"]),
        ("{a: {weight: 0}}", ["orgs.a.weight: must be at least 1"]),
        (
            "{a: {timezone: CET+1}}",
            [f"orgs.a.timezone: {ZONE}"],
        ),
        ("{a: {time_zone: UTC}}", ["orgs.a.time_zone: unknown key 'time_zone' (did you mean 'timezone'?)"]),
    ],
)
def test_problems_of_orgs(orgs: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert problems(orgs=orgs) == [f"4: {problem}" for problem in found]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("{secret: '${env:KEY}'}", ["name: is missing"]),
        ("{name: a}", ["secret: is missing"]),
        ("{name: a, secret: '${env:KEY}', routes: []}", ["routes: must not be empty"]),
        ("{name: a, secret: '${env:KEY}', rotes: [smart]}", ["rotes: unknown key 'rotes' (did you mean 'routes'?)"]),
        (
            "{name: a, secret: '${env:KEY}', expires: soon}",
            ["expires: must be a date or time such as 2027-01-31 or 2027-01-31T12:00:00Z"],
        ),
        ("{name: a, secret: '${env:KEY}', max_output_tokens: -1}", ["max_output_tokens: must be at least 1"]),
        (
            "{name: a, secret: '${env:KEY}', tags: [' x']}",
            ["tags[0]: must be 1 to 100 letters, digits and . _ : @ / = - and begin with a letter or digit"],
        ),
        (
            "{name: a, secret: '${env:KEY}', tags: " + str(["t"] * 21) + "}",
            ["tags: must not have more than 20 entries"],
        ),
        (
            "{name: a, secret: '${env:SHORT}'}",
            ["secret: must have 20 to 512 characters (`pointsman keys generate` makes one)"],
        ),
        (
            "{name: a, secret: '${env:LONG}'}",
            ["secret: must have 20 to 512 characters (`pointsman keys generate` makes one)"],
        ),
    ],
)
def test_problems_of_keys(
    key: str, found: list[str], problems: Callable[..., list[str]], environ: dict[str, str]
) -> None:
    environ |= {"KEY": "k" * 20, "SHORT": "k" * 19, "LONG": "k" * 513}
    assert problems(keys=f"[{key}]") == [f"4: keys[0].{problem}" for problem in found]
