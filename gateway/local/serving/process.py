"""One worker process as the gateway sees it: a socket, a process id, and the last lines of its standard error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING, TypeVar

from gateway.local.frames import BrokenFrame, FrameSplitter, Order, pack, unpack_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from gateway.local.frames import Report

# -P: a worker must not import from whatever folder the gateway happens to run in.
WORKER_COMMAND = (sys.executable, "-P", "-m", "gateway.local.worker")
_ROOT = str(Path(__file__).resolve().parents[3])
_PASSED = frozenset(("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"))
_PASSED_PREFIXES = (
    "AMD_", "CUDA_", "DYLD_", "GGML_", "GPU_", "HIP_", "HSA_", "KMP_", "LC_", "LLAMA_", "METAL_", "MTL_", "NVIDIA_",
    "OMP_", "ONEAPI_", "PYTHON", "ROCM_", "ROCR_", "SYCL_", "VK_", "XDG_", "ZE_",
)  # fmt: skip
_STDERR_LINES = 20
_STDERR_LINE_CHARS = 500
_LAST_WORDS_CHARS = 2000
_GRACE_S = 0.5
_READ_BYTES = 64 * 1024

T = TypeVar("T")


class _Link(asyncio.Protocol):
    """The gateway's end of the socket. Reports are handed on right in the read callback: no task, no queue.

    `rest` is the same socket once more, not blocking. A transport whose write fails reads no further, and what the
    worker said before it died, an answer's end perhaps, would be lost with it.
    """

    def __init__(self, on_reports: Callable[[list[Report]], None], rest: socket.socket) -> None:
        self._splitter = FrameSplitter()
        self._on_reports = on_reports
        self._rest = rest
        self.gone = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.complaint = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # asyncio names the base class

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._splitter.feed(data):
                self._on_reports(unpack_reports(body))
        except BrokenFrame as error:
            self.complaint = f"it sent garbage: {error}"
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        with self._rest, contextlib.suppress(OSError):
            while exc is not None and not self.complaint and (data := self._rest.recv(_READ_BYTES)):
                self.data_received(data)
        self.gone.set()

    def hang_up(self) -> None:
        if self.transport:
            self.transport.abort()


class _LastWords(asyncio.Protocol):
    """The worker's standard error: its last lines, cut to size."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_STDERR_LINES)
        self.ended = asyncio.Event()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_STDERR_LINE_CHARS:]
        self.lines.extend(line[:_STDERR_LINE_CHARS].decode(errors="replace") for line in lines if line.strip())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def __str__(self) -> str:
        return " | ".join(self.lines)[-_LAST_WORDS_CHARS:]


class WorkerProcess:
    """A started worker. `gone` is set as soon as its end of the socket is closed, by death or otherwise."""

    def __init__(self, process: Popen[bytes], link: _Link, starter: Executor) -> None:
        self.pid = process.pid
        self.gone = link.gone
        self._process = process
        self._link = link
        self._starter = starter
        self._last_words = _LastWords()
        self._stderr: asyncio.ReadTransport | None = None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._stderr, _ = await loop.connect_read_pipe(lambda: self._last_words, self._process.stderr)

    @classmethod
    async def spawn(
        cls, command: Sequence[str], on_reports: Callable[[list[Report]], None], starter: Executor
    ) -> WorkerProcess:
        """Start one on a thread of `starter`, with whose end the system ends the worker too. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        link = _Link(on_reports, ours.dup())
        with theirs:
            await loop.create_unix_connection(lambda: link, sock=ours)
            starting = loop.run_in_executor(starter, _start, command, theirs.fileno())
            try:
                worker = cls(await _uninterrupted(starting), link, starter)
                await worker._listen()
            except BaseException:
                link.hang_up()
                if starting.done() and not starting.exception():
                    await loop.run_in_executor(starter, _abandon, starting.result())
                raise
        return worker

    def send(self, order: Order) -> None:
        """Put an order on its way; one to a dead worker is dropped, as `gone` tells."""
        if self._link.transport and not self._link.transport.is_closing():
            self._link.transport.write(pack(order))

    def kill(self, complaint: str) -> None:
        """End it at once, because of `complaint`."""
        self._link.complaint = self._link.complaint or complaint
        self._process.kill()

    async def reap(self) -> str:
        """Make sure that nothing of it is left; how it ended, in words."""
        self._link.hang_up()
        waiting = asyncio.get_running_loop().run_in_executor(self._starter, _bury, self._process)
        code = await _uninterrupted(waiting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._last_words.ended.wait()
        if self._stderr:
            self._stderr.close()
        ending = self._link.complaint or (f"signal {-code}" if code < 0 else f"exit code {code}")
        return f"{ending}; its last words: {self._last_words}" if self._last_words.lines else ending


async def _uninterrupted(future: asyncio.Future[T]) -> T:
    """The result; when cancelled meanwhile, only once there is one: a half-started process must not be left behind."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _start(command: Sequence[str], fd: int) -> Popen[bytes]:
    return Popen(  # noqa: S603 - our own interpreter and module
        [*command, str(fd)],
        pass_fds=(fd,),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """What a worker needs to find its libraries and devices, and nothing else: it reads model files and requests, which
    may be hostile, so the keys and passwords that the gateway's own environment may hold are kept from it.
    """
    known = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    # llama.cpp's abort handler would start a debugger, if there is one, and take seconds to die.
    return {**known, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": path}


def _bury(process: Popen[bytes]) -> int:
    """Wait for the end of a process that has hung up, or should; not for long."""
    try:
        return process.wait(_GRACE_S)
    except TimeoutExpired:
        process.kill()
        return process.wait()


def _abandon(process: Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stderr:
        process.stderr.close()
