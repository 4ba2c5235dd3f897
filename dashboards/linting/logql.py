"""LogQL, as far as it can be checked without a Loki: its shape, its stream labels, and the fields of our log event."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.records.request_event import RequestEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM_LABELS: Final = frozenset({"service", "env", "level", "event"})
"""What Loki indexes (deploy/observability/loki.yaml); everything else is in the line."""
_STREAM: Final = re.compile(r"\{(?P<matchers>[^{}]*)\}")
_MATCHER: Final = re.compile(r'\s*(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"\s*')
_JSON_STAGE: Final = re.compile(r"\|\s*json\s+(?P<fields>(?:\w+=\"[^\"]*\"(?:,\s*)?)+)")
_FIELD: Final = re.compile(r'(\w+)="([^"]*)"')
_FILTER: Final = re.compile(r"\|\s*(\w+)\s*(?:=~|!~|!=|>=|<=|==|=|>|<)")
_RANGE: Final = re.compile(r"\[([^\]]*)\]")
_UNWRAP: Final = re.compile(r"\|\s*unwrap\s+(\w+)")
_OVER_TIME: Final = re.compile(r"\b(\w+_over_time|rate|bytes_rate)\s*\(")
_PATH: Final = re.compile(r"\w+(?:\[\d+\])?(?:\.\w+(?:\[\d+\])?)*")


def problems(expr: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a query, as (rule, words)."""
    streams = _STREAM.findall(_without_templates(expr))
    if not streams or not _is_balanced(expr):
        yield "target-logql", f"no stream is chosen, or brackets or quotes do not match: {expr}"
        return
    for stream in streams:
        yield from _stream(stream)
    taken = {name: path for stage in _JSON_STAGE.finditer(expr) for name, path in _FIELD.findall(stage["fields"])}
    for path in taken.values():
        if not _has(RequestEvent, path):
            yield "target-logql-field", f"the log event has no field {path}"
    used = {*_FILTER.findall(expr), *_UNWRAP.findall(expr)}
    for name in sorted(used - taken.keys() - STREAM_LABELS):
        yield "target-logql-field", f"{name} is not taken from the line"
    is_metric = _OVER_TIME.search(expr) is not None
    if is_metric and set(_RANGE.findall(_STREAM.sub("", _without_fields(expr)))) != {"$__auto"}:
        yield "target-logql-auto", "a range must be [$__auto]"


def _stream(matchers: str) -> Iterator[tuple[str, str]]:
    named = [_MATCHER.fullmatch(matcher) for matcher in matchers.split(",")]
    if not all(named):
        yield "target-logql", f"{{{matchers}}} is no stream selector"
    for found in named:
        if found is not None and found[1] not in STREAM_LABELS:
            yield "target-logql", f"{found[1]} is not indexed: filter by it behind | json"


def _without_templates(expr: str) -> str:
    return re.sub(r"`[^`]*`", "``", expr)


def _without_fields(expr: str) -> str:
    return re.sub(r'"[^"]*"', '""', _without_templates(expr))


def _is_balanced(expr: str) -> bool:
    bare = _without_fields(expr)
    stack: list[str] = []
    pairs = {")": "(", "]": "[", "}": "{"}
    for sign in bare:
        if sign in "([{":
            stack.append(sign)
        elif sign in pairs and (not stack or stack.pop() != pairs[sign]):
            return False
    return not stack and bare.count('"') % 2 == 0


def _has(event: Any, path: str) -> bool:  # noqa: ANN401 - a type, a union of types, or a list of one
    """Whether the log event has a field of that path, such as `tokens.input` or `attempts[1].deployment`."""
    if not _PATH.fullmatch(path):
        return False
    for step in path.split("."):
        name, _, index = step.partition("[")
        struct = _struct(event)
        if struct is None:
            return False
        by_name = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
        if name not in by_name:
            return False
        event = typing.get_args(by_name[name])[0] if index else by_name[name]
    return True


def _struct(told: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - as above
    """The struct that a field may hold."""
    for found in (told, *typing.get_args(told)):
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            return found
    return None
