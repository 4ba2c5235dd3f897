"""What goes over the socket between the gateway and a worker: four length bytes, then one msgpack value.

The gateway sends one order per frame. The worker sends lists of reports, so that one step of the engine, however many
jobs it served, costs one frame. A frame that is too long or makes no sense is a `BrokenFrame`: the other side is then
beyond trust and gets killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.llama_cpp_job import Delta, Failed, Finished, Job, Started

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH_BYTES = 4


class Load(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The first order: which model, and how. None leaves the choice to the worker.

    `plain_weights` keeps weights as they are in the file, for processors that fault on llama.cpp's faster layouts.
    """

    model_path: str
    context_tokens: int | None = None
    threads: int | None = None
    chat_template: str | None = None
    plain_weights: bool = False


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=1):
    job: Job


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=2):
    job: int


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=3):
    pass


class Shutdown(msgspec.Struct, frozen=True, array_like=True, tag=4):
    pass


class Progress(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """How much of the model is loaded, in percent."""

    percent: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The model is loaded and has decoded a token."""

    model: str
    context_tokens: int
    threads: int
    knows_tools: bool
    load_s: float


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """Proof of life: `steps` grows while the engine works, `busy` says that it has work."""

    steps: int
    busy: bool


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The model cannot be loaded at all; starting again will not help until something changes."""

    message: str


Order = Load | Submit | Cancel | Ping | Shutdown
Report = Started | Delta | Finished | Failed | Progress | Ready | Pong | Refused


class BrokenFrame(Exception):  # noqa: N818 - it names the frame, not the handling
    """Bytes that are no frame of ours."""


_ENCODER = msgspec.msgpack.Encoder()
_ORDERS = msgspec.msgpack.Decoder(Order)
_REPORTS = msgspec.msgpack.Decoder(list[Report])


def pack(value: Order | Sequence[Report]) -> bytes:
    """A whole frame, ready to be sent."""
    body = _ENCODER.encode(value)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def unpack_order(body: bytes) -> Order:
    try:
        order: Order = _ORDERS.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BrokenFrame(str(error)) from error
    return order


def unpack_reports(body: bytes | bytearray) -> list[Report]:
    try:
        return _REPORTS.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BrokenFrame(str(error)) from error


class FrameSplitter:
    """Cuts a byte stream into frame bodies, wherever the reads happen to fall."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that `data` completes, one by one. Raises `BrokenFrame` at a length that no frame of ours has."""
        pending = self._pending
        pending += data
        at = 0
        while len(pending) - at >= _LENGTH_BYTES:
            start = at + _LENGTH_BYTES
            length = int.from_bytes(pending[at:start], "little")
            if length > MAX_FRAME_BYTES:
                raise BrokenFrame(f"a frame of {length} bytes")
            if len(pending) - start < length:
                break
            at = start + length
            yield bytes(pending[start:at])
        del pending[:at]
