"""Rules as plain values: what is recorded, and what is worth telling somebody."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Severity(StrEnum):
    """How soon somebody must act: within minutes, or within days."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus reckons once for all who ask."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. It waits for `wait` before it is told. `board` and `panel` show what it is about."""

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    board: str
    panel: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def runbook(self) -> str:
        return f"docs/runbook.md#{self.name.lower()}"


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after another; each group is a file."""

    name: str
    about: str
    rules: tuple[Recording | Alert, ...]

    def alerts(self) -> list[Alert]:
        return [rule for rule in self.rules if isinstance(rule, Alert)]


def promql(text: str) -> str:
    """An expression written over several lines, without the code's indentation."""
    return dedent(text).strip()


def above(part: str, whole: str, bound: float, least_per_s: float) -> str:
    """A share above `bound`, where there is so much traffic that a share means something."""
    return f"{part}\n/ {whole}\n> {bound}\nand\n{whole} > {least_per_s}"


def grew(counter: str, by: str, window: str) -> str:
    """Counters that grew within `window`, also those that were not there before: `increase` misses a series' first."""
    now = f"sum by ({by}) ({counter})"
    return (
        f"sum by ({by}) (increase({counter}[{window}])) > 0\n"
        f"or\n"
        f"({now} unless sum by ({by}) ({counter} offset {window})) > 0"
    )
