"""A worker that has no model and misbehaves on purpose: `python fake_worker.py MODE FD`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from adapters.llama_cpp_job import Delta, Failed, Finished, Started, Vectors
from gateway.local.frames import (
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Preparing,
    Progress,
    Ready,
    Refused,
    Shutdown,
    Standing,
    Submit,
    pack,
    unpack_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.frames import Order

READY = Ready("fake.gguf", 512, 1, knows_tools=False, load_s=0.0)


class FakeWorker:
    def __init__(self, mode: str, fd: int) -> None:
        self.mode = mode
        self.socket = socket.socket(fileno=fd)

    def send(self, *reports: object) -> None:
        self.socket.sendall(pack(reports))  # type: ignore[arg-type]

    def orders(self) -> Iterator[Order]:
        splitter = FrameSplitter()
        while data := self.socket.recv(65536):
            yield from map(unpack_order, splitter.feed(data))

    def run(self) -> None:
        for order in self.orders():
            if isinstance(order, Load):
                self.load(order)
            elif isinstance(order, Submit):
                self.serve(order.job.id)
            elif isinstance(order, Shutdown) and self.mode != "will not go":
                os._exit(0)
            elif isinstance(order, Ping) and self.mode == "stuck":
                self.send(Pong(5, busy=True))
            elif isinstance(order, Ping) and self.mode != "mute":
                self.send(Pong(0, busy=False))

    def load(self, load: Load) -> None:
        if self.mode == "silent":
            time.sleep(60)
        if self.mode == "dies loading" or (self.mode == "needs plain weights" and not load.plain_weights):
            sys.stderr.write("out of memory\n")
            sys.stderr.flush()
            os._exit(3)
        if self.mode == "refuses":
            self.send(Refused("no such architecture"))
            os._exit(1)
        if self.mode == "noisy":
            sys.stderr.write("x" * 300_000 + "\n" + "line\n" * 10_000)
            sys.stderr.flush()
        self.send(Progress(50))
        self.send(READY)

    def prepare(self, job: int) -> None:
        self.send(Preparing(job))
        if job == 2 or self.mode == "dies preparing":
            os._exit(4)

    def serve(self, job: int) -> None:
        if self.mode == "dies unstarted":
            os._exit(4)
        if self.mode.startswith("dies preparing"):
            self.prepare(job)
            return
        if self.mode == "busy":
            self.send(Failed(job, 503, "engine_busy", "too many", retry_after_s=7.0))
            return
        if self.mode == "measures":
            self.send(Started(job, 3, 0), Vectors(job, (b"\0\0\x80?" * 2,), 3), Standing(running=1, waiting=2))
            return
        self.send(Started(job, 3, 0))
        if self.mode == "dies started":
            os.kill(os.getpid(), signal.SIGABRT)
        if self.mode == "garbage":
            self.socket.sendall(b"HTTP/1.1 500 Oops\r\n\r\n")
        elif self.mode == "noisy garbage":
            self.socket.sendall(b"\x03\0\0\0\xc1\xc1\xc1")
        elif self.mode == "hangs after text":
            self.send(Delta(job, 0, "half", 1))
        elif self.mode != "says nothing":
            self.send(Delta(job, 0, "whole", 1), Finished(job, 0, "stop", 1))


if __name__ == "__main__":
    FakeWorker(sys.argv[1], int(sys.argv[2])).run()
