"""Runs the workers: one first, then the others; one listener for operators; signals passed on; an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import StartError
from gateway.greeting import greet, greeting
from gateway.server import Server
from gateway.signals.logs import LogSink, set_up_logging
from gateway.signals.metric_export import MetricExport, metric_sender, sample_dropped
from gateway.signals.vitals import LoopLag, sample_process
from gateway.supervisor.admin import SupervisorAdmin
from gateway.supervisor.listening import WorkerMetrics
from gateway.supervisor.place import Place
from gateway.supervisor.worker import Worker
from gateway.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config
    from gateway.config.quantities import Address

log = logging.getLogger(__name__)

STOP_MARGIN_S: Final = 15.0
MYSELF: Final = "supervisor"


class Supervisor:
    """The process that a service manager sees when a policy asks for several workers."""

    def __init__(self, policy_file: Path, config: Config, key_file: Path | None) -> None:
        self._policy_file = policy_file
        self._config = config
        self._key_file = key_file
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._workers: list[Worker] = []

    async def run(self) -> None:
        """Serve until told to stop. Raises `StartError` when the first workers do not come up."""
        lines = LogSink(sys.stderr.buffer)
        wants_json = self._config.telemetry.log
        set_up_logging(lines, as_json=wants_json == "json" or (wants_json == "auto" and not sys.stderr.isatty()))
        folder = Path(tempfile.mkdtemp(prefix="pointsman-"))  # mode 0700: the sockets in it are for this user only
        try:
            with hold_port(self._config.server.listen) as port:
                places = [Place(slot, port, folder / f"{slot}.sock") for slot in range(self._config.server.workers)]
                self._workers = [Worker(place, self._command(place)) for place in places]
                metrics = WorkerMetrics(self._workers, self._config.telemetry.metrics.series_max)
                await metrics.start(places[0].metrics_socket)
                await self._serve(port, metrics)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _command(self, place: Place) -> list[str]:
        return [sys.executable, "-m", "gateway", "serve", "--config", str(self._policy_file), "--worker", str(place)]

    async def _serve(self, port: int, metrics: WorkerMetrics) -> None:
        self._catch_signals()
        lag = LoopLag(metrics.registry, MYSELF)
        lag.start()
        export = self._export(metrics)
        if export is not None:
            export.start()
        sample_process(metrics.registry, VERSION, MYSELF)
        admin = SupervisorAdmin(self._workers, self._config.secrets.admin_token, metrics)
        listener = await self._listen(admin)
        watching: list[asyncio.Task[None]] = []
        try:
            await self._start_workers()
            self._greet(port, listener.sockets[0].getsockname()[1])
            watching = [asyncio.create_task(worker.watch()) for worker in self._workers]
            await self._stop.wait()
            admin.draining = True
        finally:
            await self._end()
            await asyncio.gather(*watching)
            lag.close()
            await metrics.close()
            if export is not None:
                await export.close()
            listener.close()
            await admin.close()

    async def _start_workers(self) -> None:
        """The first one alone, so that what is wrong is said once and only one prepares the database."""
        first, *others = self._workers
        await first.start()
        await asyncio.gather(*(worker.start() for worker in others))

    async def _end(self) -> None:
        for worker in self._workers:
            worker.stop()
        ends = [worker.ended(self._config.server.drain_s + STOP_MARGIN_S) for worker in self._workers]
        hurrying = asyncio.create_task(self._hurry())
        await asyncio.gather(*ends)
        hurrying.cancel()

    async def _hurry(self) -> None:
        """A second signal is a second signal to the workers, too: they stop at once."""
        await self._stop_now.wait()
        for worker in self._workers:
            worker.send(signal.SIGTERM)

    async def _listen(self, admin: SupervisorAdmin) -> asyncio.Server:
        address = self._config.server.admin
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(Server(admin, loop), address.host, address.port)
        except OSError as error:
            raise StartError(f"cannot listen on {address}: {error.strerror or error}") from error

    def _export(self, metrics: WorkerMetrics) -> MetricExport | None:
        """All workers' metrics, where the policy sends them somewhere. Raises `MissingExtra`."""
        settings = self._config.telemetry.metrics.otlp
        if settings is None:
            return None
        export = MetricExport(
            metrics.merged, metric_sender(settings, self._config.telemetry.wording.semconv), settings.every_s
        )
        sample_dropped(metrics.registry, export)
        return export

    def _greet(self, port: int, admin_port: int) -> None:
        server = self._config.server
        scheme = "http" if server.tls is None else "https"
        base_url = f"{scheme}://{server.listen._replace(port=port)}/v1"
        model = next((name for route in self._config.routes for name in route.model if "*" not in name), "MODEL")
        greet(greeting(base_url, f"http://{server.admin._replace(port=admin_port)}", model, self._key_file))

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _request_stop(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    def _reload(self) -> None:
        for worker in self._workers:
            worker.send(signal.SIGHUP)


@contextlib.contextmanager
def hold_port(address: Address) -> Iterator[int]:
    """The port that workers share, kept from being taken by somebody else. Raises `StartError`.

    Bound first without sharing: with it, a second gateway on this machine would quietly take half of the calls.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(place)
            port = alone.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((place[0], port, *place[2:]))
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {error.strerror or error}") from error
    with held:
        yield port
