from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import sharing

if TYPE_CHECKING:
    from collections.abc import Callable

GRANTS = "each would grant every limit again"
SQLITE = "several nodes need a ledger in postgresql://...: the keys and sums of a SQLite file are one machine's"
OWNERS = {
    "orgs": "{acme: {}, other: {}}",
    "teams": "{free: {org: acme}, plain: {}}",
    "users": "{ada: {org: acme}, bob: {org: other}}",
}


@pytest.fixture
def environ() -> dict[str, str]:
    return {"KEY": "k" * 20, "REDIS": "redis://u:p@h", "DB": "postgresql://u:p@h/d"}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("team: free", []),
        ("team: free, user: ada, org: acme", []),
        ("team: plain, org: default", []),
        ("user: eve, org: other", []),
        ("org: acne", ["org: there is no org 'acne' (did you mean 'acme'?): declare it under orgs"]),
        ("team: fre", ["team: there is no team 'fre' (did you mean 'free'?): declare it under teams"]),
        ("team: free, org: other", ["team: is of another org than keys[0].org says: see teams.free"]),
        ("team: plain, org: acme", ["team: is of another org than keys[0].org says: see teams.plain"]),
        ("team: free, user: bob", ["user: is of another org than teams.free says: see users.bob"]),
        ("user: bob, org: acme", ["user: is of another org than keys[0].org says: see users.bob"]),
    ],
)
def test_a_key_its_team_and_its_user_are_of_one_org(
    key: str, found: list[str], problems: Callable[..., list[str]]
) -> None:
    lines = problems(**OWNERS, keys=f"[{{name: a, secret: '${{env:KEY}}', {key}}}]")
    assert lines == [f"7: keys[0].{problem}" for problem in found]


def test_teams_and_users_are_of_orgs_that_are_declared(problems: Callable[..., list[str]]) -> None:
    assert problems(teams="{a: {org: acme}}", users="{b: {org: default}}") == [
        "4: teams.a.org: there is no org 'acme': declare it under orgs"
    ]


def test_without_teams_a_key_may_name_any(problems: Callable[..., list[str]]) -> None:
    assert problems(keys="[{name: a, secret: '${env:KEY}', team: whatever}]") == []


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({"server": "{workers: 1}", "state": "{nodes: 1}"}, []),
        ({"server": "{workers: 2}", "state": "{url: '${env:REDIS}'}"}, []),
        ({"state": "{nodes: 2, url: '${env:REDIS}'}", "ledger": "{url: '${env:DB}'}"}, []),
        (
            {"server": "{workers: 2}"},
            [f"server.workers: several workers need a shared state (state.url: redis://...): {GRANTS}"],
        ),
        (
            {"server": "{workers: '2'}", "state": "{url: 'memory://'}"},
            [f"server.workers: several workers need a shared state (state.url: redis://...): {GRANTS}"],
        ),
        (
            {"state": "{nodes: 2}", "ledger": "{url: '${env:DB}'}"},
            [f"state.nodes: several nodes need a shared state (url: redis://...): {GRANTS}"],
        ),
        (
            {"state": "{nodes: 2, url: '${env:REDIS}'}"},
            [
                f"state.nodes: {SQLITE}",
            ],
        ),
    ],
)
def test_what_several_use_is_where_all_see_it(
    sections: dict[str, str], found: list[str], problems: Callable[..., list[str]]
) -> None:
    assert [line.split(": ", 1)[1] for line in problems(**sections)] == found


def test_what_this_machine_lacks_is_warned_of(
    problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "is_installed", lambda _: False)
    state, ledger = problems(state="{url: '${env:REDIS}'}", ledger="{url: '${env:DB}'}")
    assert state.startswith("4: state.url: warning: redis-py is not installed: run pip install '.[redis]'")
    assert ledger.startswith("5: ledger.url: warning: asyncpg is not installed: run pip install '.[postgres]'")
