from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SAME = "counts the same as {}; give one of them a name if both are meant"


@pytest.mark.parametrize(
    "limits",
    [
        "[{per: key, requests: 1/s}, {per: key, requests: 1/min}]",
        "[{per: key, requests: 1/s}, {per: team, requests: 1/s}]",
        "[{per: key, requests: 1/s}, {per: key, tokens: 1/s}]",
        "[{per: key, requests: 1/s}, {per: key, requests: 2/s, name: more}]",
        "[{per: key, requests: 1/s}, {per: key, requests: 2/s, when: request.stream}]",
        "[{per: key, requests: 1/s, name: a}, {per: key, tokens: 2/s, name: a}]",
    ],
)
def test_limits_that_count_different_things_pass(limits: str, problems: Callable[..., list[str]]) -> None:
    assert problems(limits=limits) == []


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ("[{per: key, requests: 1/s}, {per: key, requests: 2/1s}]", "limits[1].requests: " + SAME.format("limits[0]")),
        ("[{per: key, cost: $1/2h}, {per: key, cost: 2 USD/120min}]", "limits[1].cost: " + SAME.format("limits[0]")),
        (
            "[{per: key, concurrent: 1, when: request.stream}, {per: key, concurrent: 2, when: request.stream}]",
            "limits[1].concurrent: " + SAME.format("limits[0]"),
        ),
        (
            "[{per: key, tokens: 1/day, name: a}, {per: org, tokens: 2/day, name: a}]",
            "limits[1].tokens: counts the same as limits[0]; two entries need two names",
        ),
    ],
)
def test_limits_that_count_the_same_are_refused(limits: str, found: str, problems: Callable[..., list[str]]) -> None:
    assert problems(limits=limits) == [f"4: {found}"]


def test_an_owners_limits_are_apart_from_all_others(problems: Callable[..., list[str]]) -> None:
    limits = "{limits: [{requests: 1/s}]}"
    assert problems(limits="[{per: org, requests: 1/s}]", orgs=f"{{a: {limits}, b: {limits}}}") == []
    assert problems(orgs="{a: {limits: [{requests: 1/s}, {requests: 2/s}]}}") == [
        "4: orgs.a.limits[1].requests: " + SAME.format("orgs.a.limits[0]")
    ]


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"limits": "[{per: key, requests: 1/s, when: request.mdel == 'x'}]"}, "limits[0].when"),
        ({"orgs": "{a: {limits: {requests: 1/s, when: request.mdel == 'x'}}}"}, "orgs.a.limits.when"),
        ({"orgs": "{a: {limits: [{requests: 1/s, when: request.mdel == 'x'}]}}"}, "orgs.a.limits[0].when"),
    ],
)
def test_a_doubtful_when_is_warned_of(sections: dict[str, str], place: str, problems: Callable[..., list[str]]) -> None:
    assert problems(**sections) == [
        f"4: {place}: warning: request.mdel is in no endpoint's body (did you mean 'model'?)"
    ]


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("principal.tem == 'x'", "principal has no 'tem' (did you mean 'team'?)"),
        ("principal.team == 5", "compares string with int, which are never the same"),
        ("request.model", "must say yes or no, but gives string"),
        ("''", "a value is missing at its end"),
    ],
)
def test_a_when_that_means_nothing_is_refused(when: str, found: str, problems: Callable[..., list[str]]) -> None:
    assert problems(limits=f"[{{per: key, requests: 1/s, when: {when}}}]") == [f"4: limits[0].when: {found}"]


def test_one_mistake_hides_no_other(problems: Callable[..., list[str]]) -> None:
    found = problems(
        limits="[{per: key, requests: 1/z, tokens: 1/s}, {per: key, tokens: 2/s, when: 5}, {per: key, tokens: 2/s}, 5]"
    )
    assert [line.split(": ")[1] for line in found] == [
        "limits[0].requests",
        "limits[1].when",
        "limits[3]",
        "limits[2].tokens",
    ]


@pytest.mark.parametrize(
    ("server", "found"), [("{when_headers: [X-Tier]}", 0), ("{when_headers: [x-team]}", 2), ("{}", 2)]
)
def test_conditions_read_only_the_headers_that_the_file_names(
    server: str, found: int, problems: Callable[..., list[str]]
) -> None:
    when = "request.headers['x-tier'] == 'gold'"
    lines = problems(
        server=server,
        limits=f'[{{per: key, requests: 1/s, when: "{when}"}}]',
        routes=f'[{{model: a, targets: [gpt], when: "{when}"}}, {{model: b, targets: [gpt]}}]',
    )
    assert [line.split(": ")[:2] for line in lines] == [["3", "routes[0].when"], ["5", "limits[0].when"]][:found]
