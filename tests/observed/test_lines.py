"""LogQL over lines: what it lets through, what it adds up, and that nothing unknown is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observed.lines import selected, summed

TOLD: tuple[dict[str, Any], ...] = (
    {"team": "a", "cost": {"nano": 5}, "tries": [{"at": "x"}, {"at": "y"}]},
    {"team": "b", "cost": {"nano": 12}, "tries": [{"at": "x"}]},
    {"team": "a", "cost": None, "flag": True},
)
LINES: list[dict[str, Any]] = [
    {"ts": f"2026-11-22T12:00:0{second}Z", "service": "pointsman", "event": "done", "level": "info", **more}
    for second, more in enumerate(TOLD)
]
STREAM = '{service="pointsman",event="done"}'
NOON_S = 1795348800.0


@pytest.mark.parametrize(
    ("query", "teams"),
    [
        ("", "aba"),
        (' | team="a"', "aa"),
        (' | team!="a"', "b"),
        (' | team=~"a|b"', "aba"),
        (" | nano > 5", "b"),
        (" | nano >= 5", "ab"),
        (' | second!=""', "a"),
        (' | nano!="" | team=~"b"', "b"),
    ],
)
def test_filters_let_through_what_they_say(query: str, teams: str) -> None:
    taken = f'{STREAM} | json team="team", nano="cost.nano", second="tries[1].at"{query}'
    assert "".join(found.labels["team"] for found in selected(LINES, taken)) == teams


def test_text_and_streams_choose_lines() -> None:
    assert len(selected(LINES, f'{STREAM} |= "y"')) == 1
    assert selected(LINES, '{event!="done"}') == []
    assert len(selected(LINES, '{level=~"info|error"}')) == 3


def test_labels_are_formatted() -> None:
    template = "{{ if .nano }}{{ divf .nano 10 }}{{ end }}"
    found = selected(LINES, f'{STREAM} | json nano="cost.nano" | label_format usd=`{template}`')
    assert [one.labels["usd"] for one in found] == ["0.5", "1.2", ""]


def test_lines_are_counted_and_summed_by_step() -> None:
    query = (
        f'sum by (team) (sum_over_time({STREAM} | json team="team", v="cost.nano" | v!="" | unwrap v [$__auto])) / 10'
    )
    told = summed(LINES, query, (NOON_S, NOON_S + 4), 2.0)
    assert [(one.labels, one.points) for one in told] == [
        ({"team": "a"}, [(NOON_S + 2, 0.5)]),
        ({"team": "b"}, [(NOON_S + 2, 1.2)]),
    ]
    counted = summed(LINES, f'sum by (team) (count_over_time({STREAM} | json team="team" [$__auto]))', (NOON_S, 0), 4.0)
    assert {one.labels["team"]: one.last for one in counted} == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize(
    "query",
    [
        "no stream",
        f"{STREAM} | logfmt",
        f'{STREAM} | json team="team" | drop team',
        f'{STREAM} | json x="y" | label_format z=`{{{{ .x | upper }}}}`',
    ],
)
def test_what_is_not_understood_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"understood|chosen"):
        selected(LINES, query)


@pytest.mark.parametrize("query", [f"rate({STREAM} [$__auto])", f"max_over_time({STREAM} [$__auto])"])
def test_ranges_that_are_not_understood_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match="understood"):
        summed(LINES, query, (NOON_S, NOON_S), 1.0)
