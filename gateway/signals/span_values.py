"""Spans as plain values: what is built of a kept call, before any destination or library has its say."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.signals.telemetry import NANO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.usage import Cost, Usage
    from policies.vocabulary import Endpoint

Value = str | int | float | bool | tuple[str, ...] | tuple[float, ...]


class Kind(StrEnum):
    """Whose side of a request a span is."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Event(NamedTuple):
    """Something that happened at a moment within a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value] | None = None


class Link(NamedTuple):
    """A span of another trace that this one has to do with."""

    trace_id: str
    span_id: str


class Shown(NamedTuple):
    """What was said, as far as it may be seen: messages and tools as OpenTelemetry has them, cut to their bound."""

    asked: list[dict[str, Any]]
    answered: list[dict[str, Any]]
    instructions: list[dict[str, Any]]
    tools: list[dict[str, Any]]


class Told(NamedTuple):
    """What an attempt was, for profiles that have words of their own for it. `shows_usage`: the policy lets tokens and
    costs be said in words that backends add up. `shown` is what may be seen of what was said.
    """

    endpoint: Endpoint
    model: str
    provider: str
    usage: Usage | None
    cost: Cost | None
    shows_usage: bool
    shown: Shown | None = None


class Span(NamedTuple):
    """One span. Times are Unix nanoseconds; `error` is a short text, or None for a span that went well."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    error: str | None = None
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    told: Told | None = None


def system_message(shown: Shown) -> list[dict[str, Any]]:
    """Instructions as the first message, for whoever knows them no other way."""
    return [{"role": "system", "parts": shown.instructions}] if shown.instructions else []


def json_text(value: object) -> str:
    """For attributes that hold more than attributes can."""
    return msgspec.json.encode(value).decode()


def ns(seconds: float) -> int:
    return round(seconds * NANO)


def usd(nanousd: int) -> float:
    """A double, as attributes have amounts; divided once, so that it prints as the amount does."""
    return nanousd / NANO
