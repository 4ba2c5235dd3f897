"""The worker process: `python -m gateway.local.worker FD`, where FD is its end of a socket pair to the gateway.

Four threads: the main one loads the model and then is the engine, one reads orders, one prepares jobs, and one tells
the gateway how the engine stands. llama.cpp ends the process when something is badly wrong; that takes nobody along but
the jobs in here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, NoReturn
from weakref import WeakValueDictionary

from adapters.llama_cpp_job import Failed
from adapters.schema import InvalidRequest
from gateway.local.binding.llama import ModelUnusable, start_library
from gateway.local.frames import (
    BrokenFrame,
    Cancel,
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Preparing,
    Progress,
    Refused,
    Shutdown,
    Submit,
    pack,
    unpack_order,
)
from gateway.local.loading import handle_of, load_engine
from gateway.local.mishaps import origin_of
from gateway.local.preparing.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapters.llama_cpp_job import AnyJob
    from gateway.local.frames import Order, Report
    from gateway.local.loading import AnyHandle, Loaded, Running

STANDING_EVERY_S: Final = 0.2
WHAT_IT_MAKES: Final = {"text": "text", "embed": "vectors", "rerank": "scores"}
BUSY_RETRY_AFTER_S: Final = 1.0
_PR_SET_PDEATHSIG = 1
# Every ctypes call gives up the interpreter lock; at the default 5 ms the engine could wait long to get it back.
_SWITCH_INTERVAL_S = 0.0005
_READ_BYTES = 1 << 16


class Wire:
    """The worker's end of the socket: reports out from any thread, orders in to one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, reports: Sequence[Report]) -> None:
        frame = pack(reports)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except OSError:
            # The gateway is gone: there is nobody left to work for, and nothing to save.
            os._exit(0)

    def orders(self) -> Iterator[Order]:
        """Orders until the gateway hangs up."""
        splitter = FrameSplitter()
        # Who hangs up with reports unread resets the connection.
        with contextlib.suppress(ConnectionResetError):
            while data := self._connection.recv(_READ_BYTES):
                for body in splitter.feed(data):
                    yield unpack_order(body)


class Desk:
    """Takes orders and prepares jobs for the engine: as many may wait for that as have a slot or a place in line."""

    def __init__(self, wire: Wire, load: Load) -> None:
        self._wire = wire
        self._task = load.task
        self._max_arrivals = load.max_waiting
        self._loaded: Loaded | None = None
        self._arrivals: Arrivals[AnyHandle] = Arrivals()
        # A handle lives as long as its job is in the queue or with the engine.
        self._handles: WeakValueDictionary[int, AnyHandle] = WeakValueDictionary()
        self._job_came = threading.Event()

    def open(self, loaded: Loaded) -> None:
        """Let the jobs through to the engine, and tell the gateway how it stands."""
        self._loaded = loaded
        self._max_arrivals += loaded.ready.slots
        threading.Thread(target=self._prepare_jobs, args=(loaded,), daemon=True).start()
        threading.Thread(target=self._tell_standing, args=(loaded.engine,), daemon=True).start()

    def take_orders(self, orders: Iterator[Order]) -> None:
        """Carry out orders. The process ends with this method: in peace after a shutdown or hang-up."""
        try:
            for order in orders:
                self._take(order)
        except (BrokenFrame, OSError) as error:
            _leave(f"the worker cannot read its orders: {error}")
        os._exit(0)

    def _take(self, order: Order) -> None:
        match order:
            case Submit():
                self._receive(order.job)
            case Cancel():
                if (known := self._handles.get(order.job)) is not None:
                    known.cancelled = True
            case Ping():
                engine = self._loaded.engine if self._loaded else None
                self._wire.send([Pong(engine.steps, engine.busy) if engine else Pong(0, busy=False)])
            case Shutdown():
                os._exit(0)
            case Load():
                raise BrokenFrame("a model is loaded once")

    def _receive(self, job: AnyJob) -> None:
        handle = handle_of(job, self._task)
        if handle is None:
            makes = WHAT_IT_MAKES.get(self._task, "something else")
            self._wire.send([Failed(job.id, 400, "unsupported_endpoint", f"This model makes {makes}.")])
            return
        self._handles[job.id] = handle
        if not self._arrivals.put(handle, self._max_arrivals):
            message = "Too many requests wait to be prepared."
            self._wire.send([Failed(job.id, 503, "engine_busy", message, retry_after_s=BUSY_RETRY_AFTER_S)])

    def _prepare_jobs(self, loaded: Loaded) -> None:
        while True:
            handle = self._arrivals.get()
            if not handle.cancelled:
                self._wire.send([Preparing(handle.job.id)])
                self._prepare(handle, loaded)
            # Waiting for the next one must not keep this one's handle alive.
            del handle

    def _prepare(self, handle: AnyHandle, loaded: Loaded) -> None:
        job = handle.job.id
        try:
            loaded.submit(handle)
            self._job_came.set()
        except InvalidRequest as refusal:
            self._wire.send([Failed(job, 400, refusal.code, refusal.message, refusal.param)])
        except Exception as error:  # noqa: BLE001 - a bug must not end this thread: nothing would be answered again
            sys.stderr.write(f"a job could not be prepared: {origin_of(error)}\n")
            self._wire.send([Failed(job, 500, "engine_failure", "the request could not be prepared")])

    def _tell_standing(self, engine: Running) -> None:
        """A few times a second while there is work, and once when there is none left."""
        while self._job_came.wait():
            self._job_came.clear()
            is_busy = True
            while is_busy:
                is_busy = engine.busy
                self._wire.send([engine.standing()])
                time.sleep(STANDING_EVERY_S)


def main() -> int:
    _die_with_parent()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    wire = Wire(socket.socket(fileno=int(sys.argv[1])))
    orders = wire.orders()
    try:
        load = next(orders, None)
    except BrokenFrame as error:
        _leave(f"the worker cannot read its orders: {error}")
    if not isinstance(load, Load):
        return 1
    desk = Desk(wire, load)
    threading.Thread(target=desk.take_orders, args=(orders,), daemon=True).start()
    try:
        start_library()
        loaded = load_engine(load, _reporter(wire), wire.send)
    except (ModelUnusable, ValueError) as error:
        wire.send([Refused(str(error))])
        return 1
    desk.open(loaded)
    wire.send([loaded.ready])
    loaded.engine.run()
    return 0


def _reporter(wire: Wire) -> Callable[[float], None]:
    shown = -1

    def report(progress: float) -> None:
        nonlocal shown
        if (percent := int(progress * 100)) > shown:
            shown = percent
            wire.send([Progress(percent)])

    return report


def _leave(last_words: str) -> NoReturn:
    sys.stderr.write(f"{last_words}\n")
    sys.stderr.flush()
    os._exit(1)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
