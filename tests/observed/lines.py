"""Log lines asked by LogQL, as far as the boards speak it. There is no Loki here; these are the real lines.

    found = selected(lines, '{event="request.completed"} | json team="team" | team=~".*"')
    series = summed(lines, 'sum by (team) (count_over_time({...} [$__auto]))', span, step_s)

What is not understood is refused, never passed over.
"""

from __future__ import annotations

import operator
import re
import statistics
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.observed.prometheus_server import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Json = dict[str, Any]
Labels = dict[str, str]
STREAM = re.compile(r"\{([^{}]*)\}")
MATCHER = re.compile(r'\s*(?P<name>\w+)\s*(?P<op>=~|!~|!=|=)\s*"(?P<value>[^"]*)"\s*')
STAGE = re.compile(
    r"""\s*(?:
      \|=\s*"(?P<holds>[^"]*)"
    | \|\s*json\s+(?P<taken>\w+="[^"]*"(?:,\s*\w+="[^"]*")*)
    | \|\s*label_format\s+(?P<made>\w+)=`(?P<template>[^`]*)`
    | \|\s*unwrap\s+(?P<unwrapped>\w+)
    | \|\s*(?P<name>\w+)\s*(?P<op>=~|!~|!=|>=|<=|==|=|>|<)\s*(?P<value>"[^"]*"|[0-9.]+)
    )\s*""",
    re.VERBOSE,
)
FIELD = re.compile(r'(\w+)="([^"]*)"')
DIVIDED = re.compile(r"\{\{ if \.(\w+) \}\}\{\{ divf \.\1 (\d+) \}\}\{\{ end \}\}")
SUMMED = re.compile(
    r"(?:sum by \((?P<by>\w+)\) \()?"
    r"(?P<over>\w+)_over_time\((?:(?P<quantile>[0-9.]+), )?(?P<inner>.*?)\s*\[\$__auto\]\)"
    r"(?: by \((?P<by_too>\w+)\))?\)?(?: / (?P<divisor>[0-9e]+))?"
)
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq,
}  # fmt: skip


class Found(NamedTuple):
    """One line that a query let through, with what it took from it. `value` is what was unwrapped."""

    time_s: float
    line: Json
    labels: Labels
    value: float | None


def selected(lines: Iterable[Json], expr: str) -> list[Found]:
    """The lines of a query without a range, oldest first. Variables are written out already."""
    stream = STREAM.match(expr)
    if stream is None:
        raise ValueError(f"no stream is chosen: {expr}")
    matchers = [MATCHER.fullmatch(part) for part in stream[1].split(",")]
    stages = _stages(expr[stream.end() :])
    found = []
    for line in lines:
        indexed = {name: str(line.get(name, "")) for name in ("service", "level", "event")}
        if all(one is not None and _matches(one["op"], indexed[one["name"]], one["value"]) for one in matchers):
            passed = _passed(line, stages)
            if passed is not None:
                found.append(passed)
    return found


def summed(lines: Sequence[Json], expr: str, span: tuple[float, float], step_s: float) -> list[Series]:
    """The series of a query over a range, which is one step."""
    asked = SUMMED.fullmatch(expr)
    if asked is None:
        raise ValueError(f"this is not understood: {expr}")
    by, divisor = asked["by"] or asked["by_too"], float(asked["divisor"] or 1)
    cells: dict[str, dict[int, list[float]]] = {}
    for one in selected(lines, asked["inner"]):
        step = int((one.time_s - span[0]) // step_s) + 1
        value = 1.0 if one.value is None else one.value
        cells.setdefault(one.labels.get(by, ""), {}).setdefault(step, []).append(value)
    return [
        Series(
            {by: name},
            [(span[0] + step * step_s, _over(asked, values) / divisor) for step, values in sorted(steps.items())],
        )
        for name, steps in sorted(cells.items())
    ]


def _over(asked: re.Match[str], values: list[float]) -> float:
    if asked["over"] == "quantile":
        cuts = statistics.quantiles(values * 2, n=100, method="inclusive")
        return cuts[round(float(asked["quantile"]) * 100) - 1]
    if asked["over"] not in ("sum", "count"):
        raise ValueError(f"{asked['over']}_over_time is not understood")
    return sum(values)


def _stages(text: str) -> list[re.Match[str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        stage = STAGE.match(text, at)
        if stage is None:
            raise ValueError(f"this is not understood: {text[at:]}")
        found.append(stage)
        at = stage.end()
    return found


def _passed(line: Json, stages: Sequence[re.Match[str]]) -> Found | None:
    labels: Labels = {}
    value: float | None = None
    for stage in stages:
        if stage["holds"] is not None:
            if stage["holds"] not in str(line):
                return None
        elif stage["taken"] is not None:
            labels |= {name: _text(_at(line, path)) for name, path in FIELD.findall(stage["taken"])}
        elif stage["made"] is not None:
            labels[stage["made"]] = _formatted(stage["template"], labels)
        elif stage["unwrapped"] is not None:
            value = float(labels[stage["unwrapped"]])
        elif not _matches(stage["op"], labels[stage["name"]], stage["value"]):
            return None
    time_s = datetime.fromisoformat(str(line["ts"])).timestamp()
    return Found(time_s, line, labels, value)


def _matches(op: str, told: str, wanted: str) -> bool:
    if op in COMPARED:
        return bool(told) and COMPARED[op](float(told), float(wanted))
    wanted = wanted.strip('"')
    is_it = re.fullmatch(wanted, told) is not None if "~" in op else told == wanted
    return is_it != op.startswith("!")


def _formatted(template: str, labels: Labels) -> str:
    divided = DIVIDED.fullmatch(template)
    if divided is None:
        raise ValueError(f"the template is not understood: {template}")
    told = labels[divided[1]]
    return str(float(told) / float(divided[2])) if told else ""


def _at(line: Any, path: str) -> Any:
    """What stands in the line at a path such as `attempts[1].deployment`; None where it does not go so far."""
    for step in re.findall(r"\w+", path):
        if isinstance(line, list):
            line = line[int(step)] if int(step) < len(line) else None
        elif isinstance(line, dict):
            line = line.get(step)
        else:
            return None
    return line


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
