"""How what a `when` reads is had of a call. What cannot be read is `UNTOLD`, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from gateway.config.cel_names import HEADER, NOW
from gateway.config.cel_types import EMPTY
from gateway.config.owners import time_zone
from policies.vocabulary import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

    from gateway.config.cel_names import Reading


Read = Callable[[Subject], object]
"""Gives a value, or `UNTOLD`."""


class Untold(Enum):
    """What has no value: a member of another type than it should be, an item that is not there, an overflow."""

    UNTOLD = "untold"


UNTOLD: Final = Untold.UNTOLD
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
_UNASKED: Final = object()
_PYTHON: Final[Mapping[str, Any]] = {
    "bool": bool,
    "int": int,
    "double": float,
    "string": str,
    "list": list[Any],
    "map": dict[str, Any],
    "dyn": Any,
}
_UNREAD: Final[Mapping[str, Any]] = {"list": list[msgspec.Raw], "map": dict[str, msgspec.Raw]}
_OF_SUBJECT: Final[Mapping[tuple[str, str], Read]] = {
    ("request", "endpoint"): lambda subject: subject.endpoint.value,
    ("request", "model"): lambda subject: subject.model,
    ("request", "stream"): lambda subject: subject.stream,
    ("request", "tokens"): lambda subject: subject.tokens(),
    ("request", "images"): lambda subject: subject.images(),
    ("principal", "key_id"): lambda subject: subject.principal.key_id,
    ("principal", "key"): lambda subject: subject.principal.key_name,
    ("principal", "team"): lambda subject: subject.principal.team,
    ("principal", "user"): lambda subject: subject.principal.user,
    ("principal", "org"): lambda subject: subject.principal.org,
    ("principal", "tags"): lambda subject: subject.principal.tags,
    ("principal", "priority"): lambda subject: subject.principal.priority.name.lower(),
}
_AT_HAND: Final = frozenset({"endpoint", "model", "stream", "key_id", "key", "org", "tags"})
"""Never missing, and quicker to read than to remember."""
_OF_TIME: Final[Mapping[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda now: now.year,
    "getMonth": lambda now: now.month - 1,
    "getDate": lambda now: now.day,
    "getDayOfMonth": lambda now: now.day - 1,
    "getDayOfYear": lambda now: now.timetuple().tm_yday - 1,
    "getDayOfWeek": lambda now: now.isoweekday() % 7,
    "getHours": lambda now: now.hour,
    "getMinutes": lambda now: now.minute,
    "getSeconds": lambda now: now.second,
    "getMilliseconds": lambda now: now.microsecond // 1000,
}


def reader(reading: Reading) -> Read:
    """What reads it, once per call where the call remembers."""
    if reading.root == NOW:
        return _remembered(reading, _of_time(reading.member))
    if reading.root == HEADER:
        return _remembered(reading, _of_header(reading))
    of_subject = _OF_SUBJECT.get((reading.root, reading.member))
    if of_subject is None:
        return _remembered(reading, _of_body(reading))
    read = _of_subject(reading, of_subject)
    return read if reading.member in _AT_HAND else _remembered(reading, read)


def _remembered(reading: Reading, fresh: Read) -> Read:
    variable = reading.variable

    def read(subject: Subject) -> object:
        known = subject.known
        if known is None:
            return fresh(subject)
        value = known.get(variable, _UNASKED)
        if value is _UNASKED:
            value = known[variable] = fresh(subject)
        return value

    return read


def _of_subject(reading: Reading, value: Read) -> Read:
    if reading.what == "has":
        return lambda subject: value(subject) is not None
    if reading.what == "size":
        return lambda subject: len(cast("Sized", value(subject)))
    if reading.member in _AT_HAND:
        return value
    empty = EMPTY[reading.type.name]
    return lambda subject: empty if (found := value(subject)) is None else found


def _of_header(reading: Reading) -> Read:
    """One that was not sent reads as an empty text."""
    name = reading.member
    if reading.what == "has":
        return lambda subject: name in subject.headers
    return lambda subject: subject.headers.get(name, "")


def _of_time(member: str) -> Read:
    if not member:
        return lambda subject: datetime.fromtimestamp(subject.now_s, UTC)
    getter, _, zone_name = member.partition(" ")
    part, zone = _OF_TIME[getter], time_zone(zone_name)
    return lambda subject: part(datetime.fromtimestamp(subject.now_s, zone))


def _of_body(reading: Reading) -> Read:
    """A member of the body, decoded when asked for. One that is null counts as not sent."""
    member, kind = reading.member, reading.type.name
    if reading.what == "has":
        return lambda subject: (raw := subject.members.get(member)) is not None and bytes(raw) != b"null"
    is_size = reading.what == "size"
    types = _UNREAD if is_size else _PYTHON
    decode = msgspec.json.Decoder(types[kind] | None).decode
    empty = EMPTY[kind]

    def read(subject: Subject) -> object:
        raw = subject.members.get(member)
        try:
            found = None if raw is None else decode(raw)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return UNTOLD
        if found is None:
            found = empty
        elif kind == "int" and not INT_MIN <= cast("int", found) <= INT_MAX:
            return UNTOLD
        return len(cast("Sized", found)) if is_size else found

    return read
