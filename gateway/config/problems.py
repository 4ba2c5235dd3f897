"""What is wrong with a policy file, where, and how it is said: `file:line: path: message (did you mean 'x'?)`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str | int, ...]
"""Where something stands in the file: keys and list positions from the top."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Problem(NamedTuple):
    """One finding. `path` is written as in `routes[0].targets[1]`; no part of it ever holds a secret's value."""

    file: str
    line: int
    path: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: {self.path}: " if self.path else f"{self.file}:{self.line}: "
        return where + ("warning: " if self.severity is Severity.WARNING else "") + self.message


class ConfigProblems(Exception):  # noqa: N818 - its value is the list
    """The file cannot be used. `problems` has all that was found, warnings too, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Malformed(Exception):  # noqa: N818 - a finding on its way to becoming a Problem
    """The text is no policy document at all: nothing below this can be looked at."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def written(place: Place) -> str:
    """A place as people write it."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def printable(text: str) -> str:
    """A finding that stays on its line and is no terminal's command, whatever the file calls things."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )[:500]


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known name, or nothing where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - a good file never needs it

    near = get_close_matches(name[:100], list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
