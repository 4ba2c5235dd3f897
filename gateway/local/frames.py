"""What goes over the socket between the gateway and a worker: four length bytes, then one msgpack value.

The gateway sends one order per frame. The worker sends lists of reports, so that one step of the engine, however many
jobs it served, costs one frame. A frame that is too long or makes no sense is a `BrokenFrame`: the other side is then
beyond trust and gets killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from adapters.llama_cpp_job import AnyJob, Count, Delta, Failed, Finished, Scores, Started, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH_BYTES = 4

Total = Annotated[int, Meta(ge=0, le=2**62)]


class Tuning(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """How the engine computes. 0 and None leave a choice to the worker.

    `context_tokens` is what one slot holds. `unified` lets all slots share one pool of cells: less memory, slower
    steps, and answers that depend a little on who else is there. `deterministic` reads prompts on a fixed grid and does
    without guesses, so that on a CPU an answer depends on its request alone.
    """

    slots: int = 0
    context_tokens: int = 0
    batch_tokens: int = 512
    threads: int = 0
    unified: bool = False
    deterministic: bool = False
    max_decode_gap_s: float = 0.5
    on_overflow: str = "error"
    speculate: bool = True
    cache_bytes: int = 0
    cache_folder: str | None = None
    kv_type: str = "f16"
    flash_attention: bool | None = None
    gpu_layers: int = -1
    devices: tuple[str, ...] = ()
    split: str = "layer"
    tensor_split: tuple[float, ...] = ()


class Load(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The first order: which model, for what `task` (text, embed or rerank), and how.

    `plain_weights` keeps weights as they are in the file, for processors that fault on llama.cpp's faster layouts.
    `adapters` are LoRA files by name. `max_waiting` runs may wait for a slot. `warm_up` computes once before all else.
    """

    model_path: str
    task: str = "text"
    tuning: Tuning = Tuning()
    chat_template: str | None = None
    adapters: tuple[tuple[str, str], ...] = ()
    max_waiting: int = 64
    plain_weights: bool = False
    warm_up: bool = True


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=1):
    job: AnyJob


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=2):
    job: int


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=3):
    pass


class Shutdown(msgspec.Struct, frozen=True, array_like=True, tag=4):
    pass


class Progress(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """How much of the model is loaded, in percent."""

    percent: int


class Preparing(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """A job's prompt is made ready from now on, alone; told before, since that may be the last that is heard."""

    job: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The model is loaded and has decoded a token.

    `dialect` is how the model writes tool calls and `reasoning` how it marks its thoughts, by names of
    `adapters.dialects`; empty where it does neither. `vector_size` is 0 for models of text. `devices` hold its layers;
    `warning` says what whoever set the engine up would not expect of that.
    """

    model: str
    context_tokens: Count
    threads: Count
    knows_tools: bool
    load_s: float
    slots: Annotated[int, Meta(ge=1, le=2**20)] = 1
    task: str = "text"
    dialect: str = ""
    reasoning: str = ""
    vector_size: Count = 0
    devices: tuple[str, ...] = ()
    model_bytes: Total = 0
    context_bytes: Total = 0
    warning: str = ""


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """Proof of life: `steps` grows while the engine works, `busy` says that it has work."""

    steps: Total
    busy: bool


class Standing(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """The engine as it is now, sent a few times a second while it works and once when it comes to rest.

    `waiting_tokens` are prompt tokens in the line, `reading_tokens` those of running prompts still to be read. Paces
    are decayed means, 0 before anything was measured. Totals count since the worker began.
    """

    waiting: Total = 0
    waiting_tokens: Total = 0
    running: Total = 0
    reading_tokens: Total = 0
    known_cells: Total = 0
    cells: Total = 0
    read_tokens_per_s: float = 0.0
    write_tokens_per_s: float = 0.0
    run_s: float = 0.0
    steps: Total = 0
    step_s: float = 0.0
    python_s: float = 0.0
    read_tokens: Total = 0
    cached_tokens: Total = 0
    written_tokens: Total = 0
    guessed_tokens: Total = 0
    accepted_tokens: Total = 0
    longest_gap_s: float = 0.0
    busy_s: float = 0.0


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The model cannot be loaded at all; starting again will not help until something changes."""

    message: str


Order = Load | Submit | Cancel | Ping | Shutdown
Report = (
    Started | Delta | Finished | Failed | Vectors | Scores | Progress | Preparing | Ready | Pong | Standing | Refused
)


class BrokenFrame(Exception):  # noqa: N818 - it names the frame, not the handling
    """Bytes that are no frame of ours."""


_ENCODER = msgspec.msgpack.Encoder()
_ORDERS = msgspec.msgpack.Decoder(Order)
_REPORTS = msgspec.msgpack.Decoder(list[Report])


class FrameTooLong(ValueError):  # noqa: N818 - it says what the frame is
    """The other side would take it for garbage."""


def pack(value: Order | Sequence[Report]) -> bytes:
    """A whole frame, ready to be sent. Raises `FrameTooLong`, and what msgspec does for values that it cannot pack."""
    body = _ENCODER.encode(value)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLong(f"a frame of {len(body)} bytes")
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
