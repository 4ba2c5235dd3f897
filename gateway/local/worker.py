"""The worker process: `python -m gateway.local.worker FD`, where FD is its end of a socket pair to the gateway.

Three threads: the main one loads the model and then is the engine, one reads orders, one prepares jobs. llama.cpp ends
the process when something is badly wrong; that takes nobody along but the jobs in here.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import msgspec

from adapters.llama_cpp_job import Failed, Job
from adapters.schema import InvalidRequest
from gateway.local.context import Context, Part
from gateway.local.engine import BatchEngine
from gateway.local.frames import (
    BrokenFrame,
    Cancel,
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Progress,
    Ready,
    Refused,
    Shutdown,
    Submit,
    pack,
    unpack_order,
)
from gateway.local.line import RunLine
from gateway.local.llama import Model, ModelUnusable, start_library
from gateway.local.prepare import Handle, Preparer
from gateway.local.template import ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.local.engine import Engine
    from gateway.local.frames import Order, Report

DEFAULT_CONTEXT_TOKENS = 8192
DEFAULT_SLOTS = 4
_PR_SET_PDEATHSIG = 1
# Every ctypes call gives up the interpreter lock; at the default 5 ms the engine could wait long to get it back.
_SWITCH_INTERVAL_S = 0.0005
_READ_BYTES = 1 << 16


class Line:
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
        while data := self._connection.recv(_READ_BYTES):
            for body in splitter.feed(data):
                yield unpack_order(body)


class Desk:
    """Takes orders and prepares jobs for the engine."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._engine: Engine | None = None
        self._arrivals: queue.SimpleQueue[Handle] = queue.SimpleQueue()
        # A handle lives as long as its job is in the queue or with the engine.
        self._handles: WeakValueDictionary[int, Handle] = WeakValueDictionary()

    def open(self, engine: Engine, preparer: Preparer) -> None:
        self._engine = engine
        threading.Thread(target=self._prepare_jobs, args=(preparer,), daemon=True).start()

    def take_orders(self, orders: Iterator[Order]) -> None:
        """Carry out orders. The process ends with this method: in peace after a shutdown or hang-up."""
        try:
            for order in orders:
                self._take(order)
        except (BrokenFrame, OSError) as error:
            sys.stderr.write(f"the worker cannot read its orders: {error}\n")
            os._exit(1)
        os._exit(0)

    def _take(self, order: Order) -> None:
        match order:
            case Submit():
                job = order.job
                if not isinstance(job, Job):
                    self._line.send([Failed(job.id, 400, "unsupported_endpoint", "This model makes text.")])
                    return
                handle = Handle(job)
                self._handles[job.id] = handle
                self._arrivals.put(handle)
            case Cancel():
                if (known := self._handles.get(order.job)) is not None:
                    known.cancelled = True
            case Ping():
                engine = self._engine
                self._line.send([Pong(engine.steps, engine.busy) if engine else Pong(0, busy=False)])
            case Shutdown():
                os._exit(0)
            case Load():
                raise BrokenFrame("a model is loaded once")

    def _prepare_jobs(self, preparer: Preparer) -> None:
        while True:
            handle = self._arrivals.get()
            if handle.cancelled or self._engine is None:
                continue
            try:
                work = preparer.prepare(handle)
            except InvalidRequest as refusal:
                self._line.send([Failed(handle.job.id, 400, refusal.code, refusal.message, refusal.param)])
            except Exception as error:  # noqa: BLE001 - a bug must not end this thread: nothing would be answered again
                sys.stderr.write(f"a job could not be prepared: {error!r}\n")
                self._line.send([Failed(handle.job.id, 500, "engine_failure", "the request could not be prepared")])
            else:
                self._engine.submit(work)


def default_threads() -> int:
    """All cores but one: llama.cpp's threads spin at barriers, and with every core taken it runs at a tenth."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def main() -> int:
    _die_with_parent()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    orders = line.orders()
    load = next(orders, None)
    if not isinstance(load, Load):
        return 1
    desk = Desk(line)
    threading.Thread(target=desk.take_orders, args=(orders,), daemon=True).start()
    try:
        _serve(load, line, desk)
    except (ModelUnusable, ValueError) as error:
        line.send([Refused(str(error))])
        return 1
    return 0


def _serve(load: Load, line: Line, desk: Desk) -> None:
    """Load, say so, and be the engine. Raises `ModelUnusable`, and `ValueError` for a broken chat template."""
    started_s = time.monotonic()
    start_library()
    model = Model(Path(load.model_path), _reporter(line), plain_weights=load.plain_weights)
    source = load.chat_template or model.chat_template()
    template = ChatTemplate(source, bos=model.bos_text, eos=model.eos_text) if source else None
    threads = load.tuning.threads or default_threads()
    context_tokens = load.tuning.context_tokens or min(model.trained_context_tokens, DEFAULT_CONTEXT_TOKENS)
    slots = load.tuning.slots or DEFAULT_SLOTS
    tuning = msgspec.structs.replace(load.tuning, slots=slots, context_tokens=context_tokens, threads=threads)
    context = Context(model, tuning)
    _warm_up(context)
    engine = BatchEngine(model, context, RunLine(load.max_waiting), line.send, tuning)
    desk.open(engine, Preparer(model, template, context.context_tokens))
    ready = Ready(
        model=Path(load.model_path).name,
        context_tokens=context.context_tokens,
        threads=threads,
        knows_tools=template is not None and template.knows_tools,
        load_s=time.monotonic() - started_s,
        slots=slots,
    )
    line.send([ready])
    engine.run()


def _reporter(line: Line) -> Callable[[float], None]:
    shown = -1

    def report(progress: float) -> None:
        nonlocal shown
        if (percent := int(progress * 100)) > shown:
            shown = percent
            line.send([Progress(percent)])

    return report


def _warm_up(context: Context) -> None:
    """Decode once, so that a build that faults on this processor does so before anyone waits for an answer."""
    context.read([Part(0, [0] * min(16, context.batch_tokens), 1)])
    context.write([0], [0])
    context.clear(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
