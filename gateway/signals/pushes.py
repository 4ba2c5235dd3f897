"""What a worker tells its supervisor of its metrics, and what the supervisor believes of it.

A push says by how much counters and histograms grew since the last one, and what gauges are now. Pushes of one `epoch`,
which is one run of a worker, are numbered: one that comes twice is known by its number. Whoever sends them is half
trusted, for a worker reads what strangers send; so everything in a push is looked at before any of it is counted.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from gateway.signals.catalogue import FAMILIES
from gateway.signals.telemetry import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

PUSH_BYTES_MAX: Final = 4 << 20
LENGTH_BYTES: Final = 4
SERIES_PER_PUSH: Final = 1_000
"""Counters and histograms in one push: taking it in holds the supervisor's loop for about a millisecond."""
GAUGES_MAX: Final = 20_000
NUMBER_MAX: Final = (1 << 63) - 1

Value = Annotated[str, Meta(max_length=512)]
Labels = tuple[Value, ...]
Amount = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class BadPush(Exception):  # noqa: N818 - it names the push, not the handling
    """What came is no push, or says what cannot be."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first word of a worker on each connection."""

    slot: Number
    epoch: Number


class Growth(msgspec.Struct, frozen=True, array_like=True):
    """A counter's increase since the last push; one that is new may have none."""

    labels: Labels
    by: Amount


class Observations(msgspec.Struct, frozen=True, array_like=True):
    """What a histogram saw since the last push: counts per bucket, their sum, and the newest trace of each bucket."""

    labels: Labels
    counts: tuple[Amount, ...]
    sum: float
    exemplars: dict[int, tuple[TraceId, float]]


class Counters(msgspec.Struct, frozen=True, array_like=True):
    name: str
    grown: tuple[Growth, ...]


class Histograms(msgspec.Struct, frozen=True, array_like=True):
    name: str
    seen: tuple[Observations, ...]


class Gauges(msgspec.Struct, frozen=True, array_like=True):
    """`shared` are the label sets of things that are one for all workers, such as an engine elsewhere."""

    name: str
    values: tuple[tuple[Labels, int | float], ...]
    shared: tuple[Labels, ...] = ()


class Push(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """One message. `gauges` None: as they were; else these are all there are."""

    epoch: Number
    number: Number
    counters: tuple[Counters, ...] = ()
    histograms: tuple[Histograms, ...] = ()
    gauges: tuple[Gauges, ...] | None = None


class Heard(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The supervisor's answer: this push is counted, now or before."""

    number: Number


_SAID: Final[msgspec.msgpack.Decoder[Hello | Push]] = msgspec.msgpack.Decoder(Hello | Push)
_HEARD: Final = msgspec.msgpack.Decoder(Heard)
_ENCODER: Final = msgspec.msgpack.Encoder()


def framed(message: Hello | Push | Heard) -> bytes:
    """The message behind its length. Raises `BadPush` for one that is too long to be taken."""
    body = _ENCODER.encode(message)
    if len(body) > PUSH_BYTES_MAX:
        raise BadPush(f"a push of {len(body)} bytes")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def body_bytes(head: bytes) -> int:
    """How much comes after these first bytes. Raises `BadPush`."""
    length = int.from_bytes(head, "big")
    if length > PUSH_BYTES_MAX:
        raise BadPush(f"a push of {length} bytes")
    return length


def read_heard(body: bytes) -> Heard:
    """Raises `BadPush`."""
    try:
        return _HEARD.decode(body)
    except msgspec.MsgspecError as error:
        raise BadPush("no answer to a push") from error


def read_said(body: bytes) -> Hello | Push:
    """A worker's message, all of it possible. Raises `BadPush`."""
    try:
        said = _SAID.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadPush("not in the form of a push") from error
    if isinstance(said, Push):
        _look_at(said)
    return said


def _look_at(push: Push) -> None:
    """What another version of the gateway counts is an error like any other: workers and supervisor start together."""
    for counters in push.counters:
        family = _family(counters.name, Kind.COUNTER)
        _labelled(family, (growth.labels for growth in counters.grown))
    for histograms in push.histograms:
        family = _family(histograms.name, Kind.HISTOGRAM)
        _labelled(family, (one.labels for one in histograms.seen))
        if not all(_can_be_seen(family, one) for one in histograms.seen):
            raise BadPush(f"{family.name} of another form")
    gauges = push.gauges or ()
    if sum(len(one.values) + len(one.shared) for one in gauges) > GAUGES_MAX:
        raise BadPush("too many gauges")
    for gauge in gauges:
        family = _family(gauge.name, Kind.GAUGE)
        _labelled(family, (*(labels for labels, _ in gauge.values), *gauge.shared))
        if not all(isfinite(value) for _, value in gauge.values):
            raise BadPush(f"{family.name} without a value")


def _family(name: str, kind: Kind) -> Family:
    family = FAMILIES.get(name)
    if family is None or family.kind is not kind:
        raise BadPush(f"no {kind.value} that is known")
    return family


def _labelled(family: Family, labels: Iterable[Labels]) -> None:
    count = len(family.kept_labels)
    if any(len(one) != count for one in labels):
        raise BadPush(f"{family.name} with other labels")


def _can_be_seen(family: Family, seen: Observations) -> bool:
    if len(seen.counts) != len(family.buckets) + 1 or not isfinite(seen.sum):
        return False
    return all(0 <= at < len(seen.counts) and isfinite(value) for at, (_, value) in seen.exemplars.items())
