from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.prices.comparing import RateChange, compared, flat, in_force
from gateway.prices.lines import Above, Line, Model, Service
from gateway.prices.table import day_s

LINE = Line(source="s", input=Decimal(1), output=Decimal(2))


def changed(**rates: int) -> Line:
    words = {word: Decimal(rate) for word, rate in rates.items()}
    return msgspec.structs.replace(LINE, source="t", **words)


@pytest.mark.parametrize(
    ("line", "kind", "rates"),
    [
        (changed(input=2), "dearer", [("input", 1, 2)]),
        (changed(input=0), "cheaper", [("input", 1, 0)]),
        (changed(input=0, output=3), "changed", [("input", 1, 0), ("output", 2, 3)]),
        (changed(search=1), "changed", [("search", None, 1)]),
    ],
)
def test_what_changed_and_which_way(line: Line, kind: str, rates: list[tuple[Any, ...]]) -> None:
    (found,) = compared({("p", "m"): LINE}, {("p", "m"): line})
    assert (found.provider, found.model, found.kind) == ("p", "m", kind)
    assert [tuple(rate) for rate in found.rates] == rates


def test_what_is_new_and_gone_and_the_same() -> None:
    found = compared({("p", "a"): LINE, ("p", "b"): LINE}, {("p", "b"): changed(), ("p", "c"): LINE})
    assert [(change.model, change.kind, len(change.rates)) for change in found] == [("a", "gone", 2), ("c", "new", 2)]
    assert compared({("p", "a"): LINE}, {}, only={("p", "b")}) == []
    assert [change.model for change in compared({("p", "a"): LINE}, {}, only={("p", "a")})] == ["a"]


def test_every_rate_has_a_name_that_says_when_it_holds() -> None:
    tiers = (Above(tokens=200_000, input=Decimal(3)),)
    line = Line(source="s", input=Decimal(1), above=tiers, services={"flex": Service(output=Decimal(2), above=tiers)})
    assert flat(line) == {"input": 1, "input above 200,000": 3, "flex output": 2, "flex input above 200,000": 3}


@pytest.mark.parametrize(
    ("before", "after", "percent", "is_great"),
    [
        (4, 5, 25, False),
        (4, 3, -25, False),
        (1, 10, 900, False),
        (1, 11, 1000, True),
        (10, 1, -90, False),
        (11, 1, None, True),
        (5, 0, -100, True),
        (0, 5, None, False),
        (None, 5, None, False),
        (5, None, None, False),
    ],
)
def test_by_how_much(before: int | None, after: int | None, percent: int | None, is_great: bool) -> None:  # noqa: FBT001 - a table's column
    change = RateChange("input", *(None if rate is None else Decimal(rate) for rate in (before, after)))
    assert change.is_great is is_great
    assert percent is None or change.percent == percent


def test_the_line_in_force_is_that_of_the_day() -> None:
    lines = (LINE, Line(source="s", begins="2026-12-01", input=Decimal(5)))
    for day, rate in (("2026-11-30", 1), ("2026-12-01", 5)):
        assert in_force([Model("p", "m", lines)], day_s(day))["p", "m"].input == rate
    assert in_force([Model("p", "m", lines[1:])], 0.0)["p", "m"].input == 5
