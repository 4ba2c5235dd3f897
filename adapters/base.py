"""What a wire format must be able to say: four methods, no sockets, one stream decoder per stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.schema import InferenceRequest
    from policies.usage import Usage
    from policies.vocabulary import Failure


class WireRequest(msgspec.Struct, frozen=True):
    """A request as it goes over the wire. `path` is relative to the provider's base URL and begins with `/`."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    method: str = "POST"


class EngineTimes(msgspec.Struct, frozen=True):
    """Where an answer's time went in an engine of ours, in seconds: in its line, reading the prompt, writing.

    `compute_s` is the part of the engine's own time that this answer had, each step's being shared among all in it.
    """

    queue_s: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    compute_s: float = 0.0


class Passage(msgspec.Struct):
    """A part of what was generated that is no plain answer: from one character of the text to another. `kind` is
    `reasoning`, or a call's `name` or `arguments`.
    """

    kind: str
    begin: int
    end: int


NAME_CHARS_KEPT: Final = 512
REASON_CHARS_KEPT: Final = 64
REASONS_KEPT: Final = 256


class Tally(msgspec.Struct):
    """What an answer has shown of itself so far: the basis of metering, cost and estimates.

    `usage` is None until the upstream reported it. `text` holds what was generated, in order, so that it can be counted
    when no usage comes; decoders stop adding beyond `adapters.openai.TEXT_KEPT_BYTES` and add to `text_dropped_chars`.
    `passages` say which parts of it were thoughts and calls, where decoders tell them apart; None where there are none.
    `is_usage_early`: text came after the usage, which is a lower bound therefore. `service` is the tier that a stream
    named, "" for the standard one.
    `damaged_events` could not be read and were left out. `engine` is None where the engine is not ours.
    """

    usage: Usage | None = None
    finish_reasons: list[str] = msgspec.field(default_factory=list)
    model: str | None = None
    id: str | None = None
    text: list[str] = msgspec.field(default_factory=list)
    text_dropped_chars: int = 0
    damaged_events: int = 0
    engine: EngineTimes | None = None
    passages: list[Passage] | None = None
    is_usage_early: bool = False
    service: str | None = None

    def add_reason(self, reason: str) -> None:
        """A choice has ended. What upstreams write is kept as long as records are, so there is an end to it."""
        if len(self.finish_reasons) < REASONS_KEPT:
            self.finish_reasons.append(reason[:REASON_CHARS_KEPT])


class StreamDecoder(Protocol):
    """Reads one upstream stream and yields what the caller shall get, in the caller's format.

    `started` becomes true with the first content (text, tool call, reasoning, refusal or audio), `ended` with the end
    marker.
    """

    tally: Tally
    started: bool
    ended: bool

    def feed(self, data: bytes) -> bytes:
        """Whole events, ready to forward; empty while an event is incomplete. Raises `FailedStream`."""

    def finish(self) -> bytes:
        """What is still owed to the caller at the end of the body. Raises `FailedStream` for a stream cut short."""


class FailedStream(Exception):  # noqa: N818 - it carries a Failure; it is not one of ours by name
    """A stream that says it failed, or shows it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Adapter(Protocol):
    """One wire format."""

    def encode(self, request: InferenceRequest, model: str) -> WireRequest:
        """The request as this provider wants it, with `model` in place of the route's name."""

    def decode(self, request: InferenceRequest, body: bytes) -> tuple[bytes, Tally]:
        """A whole answer in the caller's format, and its tally. Raises `FailedStream` for anything but an answer."""

    def decoder(self, request: InferenceRequest) -> StreamDecoder:
        """A fresh decoder for one stream."""

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """An error answer as a `Failure` (header names are lower-case); never raises, whatever the bytes."""
