from __future__ import annotations

import pytest

from gateway.config.problems import ConfigProblems, Problem, Severity, did_you_mean, printable, written


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((), ""),
        (("routes", 0, "targets", 1), "routes[0].targets[1]"),
        (("providers", "openai", "api_key"), "providers.openai.api_key"),
        ((0, "a"), "[0].a"),
    ],
)
def test_places_are_written_as_people_write_them(place: tuple[str | int, ...], expected: str) -> None:
    assert written(place) == expected


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("p.yaml", 3, "a.b", "is missing"), "p.yaml:3: a.b: is missing"),
        (Problem("p.yaml", 1, "", "is empty"), "p.yaml:1: is empty"),
        (Problem("p.yaml", 2, "a", "is odd", Severity.WARNING), "p.yaml:2: a: warning: is odd"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    assert str(problem) == line


@pytest.mark.parametrize(
    ("name", "expected"),
    [("llama-8", " (did you mean 'llama-8b'?)"), ("GPT", ""), ("zebra", ""), ("", ""), ("x" * 100_000, "")],
)
def test_only_a_near_name_is_suggested(name: str, expected: str) -> None:
    assert did_you_mean(name, ["llama-8b", "gpt-4o"]) == expected


def test_what_a_file_calls_things_cannot_forge_lines_or_drive_a_terminal() -> None:
    assert printable("a\nb\x1b[31m\u202e\x85é") == "a\\nb\\x1b[31m\\u202e\\x85é"
    assert len(printable("x" * 10_000)) == 500


def test_the_exception_says_all() -> None:
    problems = (Problem("p", 1, "a", "x"), Problem("p", 2, "b", "y"))
    assert str(ConfigProblems(problems)) == "p:1: a: x\np:2: b: y"
    assert ConfigProblems(problems).problems == problems
