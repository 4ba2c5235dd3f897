"""`pointsman serve`: start, greet, serve, reload, drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from gateway.app import Gateway, tls_context
from gateway.config import ConfigProblems, Severity, examine, load
from gateway.errors import StartError
from gateway.greeting import WATCHING, greet, greeting
from gateway.listening import Listener
from gateway.server import Server
from gateway.supervisor.place import READY
from gateway.user_listening import listening_for_user

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config
    from gateway.config.quantities import Address
    from gateway.supervisor.place import Place
    from gateway.supervisor.pushing import Pushing

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
Listening = Listener | asyncio.Server

WATCH_INTERVAL_S = 1.0
SETTLE_S = 2.0
NOT_RELOADED = "the policy file was not reloaded, the old policy stays"


def run(path: Path, key_file: Path | None, place: Place | None = None, user_socket: Path | None = None) -> int:
    """Serve until told to stop. 0 after a drain, 2 when the policy file or what it needs is not there.

    `place`: as one of several workers, which a supervisor of this same command has started. `user_socket`: where this
    user may look without a token, if the policy has none and there is one process.
    """
    stamp = stamp_of(path)  # before it is read, so that no change after that goes unseen
    config, findings = examine(path, os.environ)
    if place is None:
        for finding in findings:  # warnings too: this is when a person is looking
            sys.stderr.write(f"{finding}\n")
    if config is None:
        return 2
    try:
        if config.server.workers > 1 and place is None:
            uvloop.run(_supervise(path, config, key_file))
        else:
            uvloop.run(Service(path, stamp, config, Manner(key_file, place, user_socket=user_socket)).run())
    except StartError as error:
        sys.stderr.write(f"pointsman: {error}\n")
        return 2
    return 0


async def _supervise(path: Path, config: Config, key_file: Path | None) -> None:
    from gateway.supervisor.run import Supervisor  # noqa: PLC0415 - most gateways are one process

    await Supervisor(path, config, key_file).run()


def _pushing(gateway: Gateway, place: Place) -> Pushing:
    """Its numbers, on their way to the supervisor."""
    from gateway.supervisor.pushing import Pushing  # noqa: PLC0415 - most gateways are one process

    pushing = Pushing(gateway.reporting.registry, place)
    pushing.start()
    return pushing


class Manner(NamedTuple):
    """How a gateway is run: with a key to show in its greeting and a socket for its user, or as a worker in its place;
    `dress` adds to it.
    """

    key_file: Path | None
    place: Place | None
    dress: Callable[[Gateway], None] | None = None
    user_socket: Path | None = None


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file does: modification time in ns, size, inode. None where there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Service:
    """The process's run: its listeners, its signals and its policy file, if it has one."""

    def __init__(self, path: Path | None, stamp: Stamp | None, config: Config, manner: Manner) -> None:
        self._path = path
        self._stamp = stamp
        self._config = config
        self._key_file, self._place, self._dress, user_socket = manner
        self._user_socket = None if config.secrets.admin_token is not None else user_socket
        self._reload = asyncio.Event()

    async def run(self) -> None:
        gateway = await Gateway.start(self._config, 0 if self._place is None else self._place.slot)
        pushing: Pushing | None = None
        try:
            if self._dress is not None:
                self._dress(gateway)
            listeners = await self._listen(gateway)
            self._catch_signals(gateway)
            gc.collect()
            gc.freeze()  # what lives from here to the end need not be walked again
            gc.set_threshold(50_000, 20, 100)
            gateway.lifecycle.started = True
            async with listening_for_user(self._user_socket, gateway.user_operations) as is_open:
                if self._place is None:
                    ports = (listener.port for _, listener in listeners if isinstance(listener, Listener))
                    self._greet(gateway, *ports, has_user_socket=is_open)
                else:
                    self._report_for_duty(gateway)
                    pushing = _pushing(gateway, self._place)
                gateway.warm()
                await self._serve(gateway, listeners)
        finally:
            await gateway.close()
            if pushing is not None:  # the last numbers come of closing
                await pushing.close()

    async def _listen(self, gateway: Gateway) -> list[tuple[Server, Listening]]:
        """The two listeners. A worker's are its share of the port, and a socket that only its supervisor reaches."""
        loop = asyncio.get_running_loop()
        server, place = self._config.server, self._place
        data, admin = Server(gateway.edge, loop, gateway.door), Server(gateway.operations, loop)
        listen = server.listen if place is None else server.listen._replace(port=place.port)
        taking = await _bound(data, listen, tls_context(self._config), shared=place is not None)
        gateway.door.watch(taking.wait_s)
        return [
            (data, taking),
            (admin, await (_bound(admin, server.admin) if place is None else _private(admin, place.admin_socket))),
        ]

    def _report_for_duty(self, gateway: Gateway) -> None:
        """Tell the supervisor that calls are taken, and stop when it is gone: nobody would stop this process then."""
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._supervisor_is_gone, gateway)

    def _supervisor_is_gone(self, gateway: Gateway) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        if not gateway.lifecycle.draining:
            log.error("the supervisor is gone; this worker drains and stops")
            gateway.lifecycle.request_stop()

    def _greet(self, gateway: Gateway, port: int, admin_port: int, *, has_user_socket: bool) -> None:
        """With the ports as bound: a policy may ask for any free one."""
        server = self._config.server
        scheme = "http" if server.tls is None else "https"
        base_url = f"{scheme}://{server.listen._replace(port=port)}/v1"
        model = next(iter(gateway.generation.index.names), "MODEL")
        admin_url = f"http://{server.admin._replace(port=admin_port)}"
        is_open = not gateway.generation.keys.required
        text = greeting(base_url, admin_url, model, self._key_file, is_open=is_open)
        greet(f"{text}{WATCHING}" if has_user_socket else text)

    def _catch_signals(self, gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, gateway.lifecycle.request_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    async def _serve(self, gateway: Gateway, listeners: list[tuple[Server, Listening]]) -> None:
        watching = None if self._path is None else asyncio.create_task(self._watch(gateway, self._path))
        try:
            await gateway.lifecycle.stop_requested.wait()
        finally:
            if watching is not None:
                watching.cancel()
        await self._drain(gateway, listeners)

    async def _watch(self, gateway: Gateway, path: Path) -> None:
        """Reload on SIGHUP and when the policy file changes. A bad file keeps the old policy and says why."""
        seen = self._stamp
        while True:
            try:
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    await self._reload.wait()
            except TimeoutError:
                if stamp_of(path) == seen:
                    continue
            self._reload.clear()
            seen = stamp_of(path)
            await self._reload_policy(gateway, path)

    async def _reload_policy(self, gateway: Gateway, path: Path) -> None:
        failed = True
        try:
            config = await asyncio.to_thread(load, path, dict(os.environ))
            await gateway.reload(config)
            failed = False
        except ConfigProblems as found:
            for problem in found.problems:
                if problem.severity is Severity.ERROR:
                    log.error("%s: %s", NOT_RELOADED, problem)  # noqa: TRY400 - the file's fault, not the code's
        except StartError as error:
            log.error("%s: %s", NOT_RELOADED, error)  # noqa: TRY400 - as above
        except Exception:
            log.exception(NOT_RELOADED)
        else:
            log.info("the policy file was reloaded")
        gateway.lifecycle.reload_failed = failed

    async def _drain(self, gateway: Gateway, listeners: list[tuple[Server, Listening]]) -> None:
        """Readiness goes red, listeners close, calls in flight get `drain` seconds, the rest a clear error."""
        lifecycle = gateway.lifecycle
        lifecycle.draining = True
        (data, data_socket), (admin, admin_socket) = listeners
        data_socket.close()
        data.drain()
        log.info("draining: %d calls in flight", lifecycle.in_flight)
        await self._wait_for_calls(gateway, gateway.generation.config.server.drain_s)
        lifecycle.deadline_passed = True
        data.interrupt()
        await lifecycle.until_idle(SETTLE_S)
        admin_socket.close()
        await data.shutdown(0.1)
        await admin.shutdown(0.1)

    async def _wait_for_calls(self, gateway: Gateway, drain_s: float) -> None:
        waits = {
            asyncio.ensure_future(gateway.lifecycle.until_idle(drain_s)),
            asyncio.ensure_future(gateway.lifecycle.stop_now.wait()),
        }
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()


async def _bound(
    protocol_factory: Server, address: Address, tls: ssl.SSLContext | None = None, *, shared: bool = False
) -> Listener:
    listener = Listener(protocol_factory)
    try:
        await listener.bind(address, tls, shared=shared)
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {_reason(error)}") from error
    return listener


def _reason(error: OSError) -> str:
    """Not asyncio's sentence around it, which names the address again."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def _private(protocol_factory: Server, path: Path) -> asyncio.Server:
    """A socket in a folder of the supervisor's, which only this user may enter."""
    return await asyncio.get_running_loop().create_unix_server(protocol_factory, str(path))
