import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.explaining.cases import Result, cases_of, run_case
from gateway.explaining.rehearsal import Rehearsal
from tests.gateway.explaining.a_policy import TOOLS, asking, policy


def run(folder: Path, given: dict[str, Any], expect: dict[str, Any]) -> Result:
    cases = cases_of({"cases": [{"name": "it", "given": {"key": "ci", **given}, "expect": expect}]})
    return asyncio.run(run_case(cases.cases[0], Rehearsal(policy(folder))))


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ({"request": asking(tools=TOOLS)}, {"first": "big", "order": ["big"], "route": "clever"}),
        ({"request": asking(), "key": "euro"}, {"order": ["small"], "refused": {"far": "region", "big": "region"}}),
        ({"request": asking(), "calls": 500, "callers": 500}, {"share": {"big": "5%", "small": "95%"}}),
        ({"request": asking(), "down": ["small"]}, {"never": ["small"], "first": ["big", "far"]}),
        ({"request": asking(), "down": ["small"]}, {"refused": {"small": "set_aside"}}),
        ({"request": asking("nobody")}, {"status": 404, "error": "model_not_found"}),
        ({"request": asking("fixed"), "at": "2026-11-22T08:00:00Z"}, {"first": "small"}),
        ({"request": asking("fixed"), "at": datetime(2026, 11, 22, 20, tzinfo=UTC)}, {"status": 404}),
        ({"request": asking("fixed"), "at": date(2026, 11, 22)}, {"first": "small"}),
        ({"request": asking(), "headers": {"x-pointsman-require": "region=us"}}, {"order": ["far"]}),
    ],
)
def test_an_expectation_that_holds(given: dict[str, Any], expect: dict[str, Any], tmp_path: Path) -> None:
    assert run(tmp_path, given, expect).wrong == []


@pytest.mark.parametrize(
    ("given", "expect", "wrong"),
    [
        ({"request": asking(tools=TOOLS)}, {"first": "small"}, ["first: expected small, found big"]),
        ({"request": asking(tools=TOOLS)}, {"order": ["big", "far"]}, ["order: expected big, far, found big"]),
        ({"request": asking()}, {"never": ["far"]}, ["never: far may be asked"]),
        ({"request": asking()}, {"refused": {"far": "region"}}, ["refused: far is not refused"]),
        (
            {"request": asking(), "key": "euro"},
            {"refused": {"far": "context"}},
            ["refused: expected far for its context, found region"],
        ),
        ({"request": asking("nobody")}, {"first": "big"}, ["first: expected big, found nobody (model_not_found)"]),
        (
            {"request": asking()},
            {"error": "x", "status": 400},
            ["status: expected 400, found 0", "error: expected x, found none"],
        ),
        (
            {"request": asking(), "calls": 100, "callers": 100},
            {"share": {"far": "50%"}},
            ["share: expected 50% for far, found 0% of 100"],
        ),
        ({"request": asking()}, {"never": ["smal"]}, ["there is no deployment smal (did you mean 'small'?)"]),
        ({"request": asking(), "down": ["x"]}, {"never": ["far"]}, ["there is no deployment x"]),
        ({"request": asking(), "down": ["far"]}, {"never": ["big"]}, ["never: big may be asked"]),
        ({"request": asking(), "key": "who"}, {"first": "big"}, ["there is no key who; the policy has: ci, euro"]),
    ],
)  # fmt: skip
def test_every_difference_is_told(
    given: dict[str, Any], expect: dict[str, Any], wrong: list[str], tmp_path: Path
) -> None:
    assert run(tmp_path, given, expect).wrong == wrong


@pytest.mark.parametrize(
    ("values", "place"),
    [
        (None, "object"),
        ({"cases": []}, "cases"),
        ({"cases": [{"name": "a", "given": {"request": {}}, "expect": {}}]}, "cases\\[0\\].expect"),
        ({"cases": [{"name": "a", "given": {"request": {}}, "expect": {"frist": "b"}}]}, "known there: route, first"),
        ({"cases": [{"name": "a", "given": {"requests": {}}, "expect": {}}]}, "known there: request, endpoint"),
        ({"cases": [{"nam": "a"}]}, "known there: name, given"),
        ({"case": [{"name": "a"}]}, "known there: cases"),
        ({"cases": [{"name": "a", "given": {"request": {}, "at": "soon"}, "expect": {"status": 1}}]}, "given.at"),
        ({"cases": [{"name": "a", "given": {"request": {}, "calls": 0}, "expect": {"status": 1}}]}, "calls"),
        ({"version": 2, "cases": [{"name": "a", "given": {"request": {}}, "expect": {"status": 1}}]}, "version"),
    ],
)
def test_what_is_no_file_of_cases_is_refused_with_the_place(values: object, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        cases_of(values)
