"""The composition root: a policy in, a running gateway out. The only file that knows everything."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
import ssl
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.admin.gate import gate_of, gate_of_user, refuse_shared_token
from gateway.admin.table import Parts, all_routes
from gateway.attempts.legs import Desk
from gateway.caching.errands import Office
from gateway.caching.service import Caching
from gateway.config.compile import deployments, has_budget, limits_of
from gateway.config.compile_prices import tables_of, unpriced_of
from gateway.config.compile_routes import routing
from gateway.config.model_facts import ModelTable
from gateway.drains import Drains
from gateway.edge import Edge
from gateway.errors import StartError
from gateway.generation import Generation
from gateway.health import HealthProbes
from gateway.keys.service import KeyService
from gateway.lifecycle import Lifecycle
from gateway.limits.budgets import Budgets
from gateway.limits.service import LimitService
from gateway.live_view import LiveView
from gateway.operations import Operations
from gateway.pipeline import compose
from gateway.prices.table import BrokenTable
from gateway.records.intents import Intents
from gateway.records.reporting import Reporting
from gateway.replays import Replays
from gateway.shedding import Door
from gateway.signals.capture_metrics import watch_capture
from gateway.signals.engine_metrics import watch_engines
from gateway.signals.hardware_metrics import watch_hardware
from gateway.signals.line_metrics import watch_lines
from gateway.stages.admit import Admit
from gateway.stages.attempt import AttemptStage
from gateway.stages.authenticate import Authenticate
from gateway.stages.dispatch import Dispatch
from gateway.stages.observe import Observe
from gateway.stages.read import Read
from gateway.stages.route import RouteStage
from gateway.state.fleet import Fleet
from gateway.state.hardware import HardwareTimes
from gateway.state.hardware_hours import HardwareHours
from gateway.state.ledger.capture import SpendCapture
from gateway.upstreams import UpstreamSet, forwarded_headers
from policies.calendars import Calendars
from policies.limit_index import LimitIndex
from policies.matching import compile_routes
from policies.vocabulary import OnDisconnect

if TYPE_CHECKING:
    from typing import Literal

    from gateway.config import Config
    from gateway.pipeline import Stage
    from gateway.upstream import Upstream
    from policies.vocabulary import Deployment, Route

log = logging.getLogger(__name__)


def stages(gateway: Gateway) -> tuple[Stage, ...]:
    """The stages of every call, in order; `Dispatch` comes after the last."""
    reporting, limits = gateway.reporting, gateway.limits
    return (
        Observe(reporting.recorder),
        Authenticate(),
        Read(),
        gateway.replays.stage,
        RouteStage(gateway.lifecycle, limits.estimator),
        Admit(limits.admission, reporting.ledger),
        gateway.caching.stage,
        gateway.attempts,
    )


def attempts_of(gateway: Gateway) -> AttemptStage:
    """The last of the stages, where calls of the cache's own begin."""
    reporting, limits = gateway.reporting, gateway.limits
    rng = random.Random(secrets.randbits(64))  # noqa: S311 - jitter, not secrets
    intents = Intents(reporting.ledger, limits.estimator.quick)
    # Not the loop's time: uvloop's has whole milliseconds. Both count from the same moment.
    desk = Desk(gateway.fleet, time.monotonic, limits.admission, intents, gateway.hardware)
    return AttemptStage(desk, rng, reporting.counter)


class Gateway:
    """A running gateway without its listeners. Make it with `start`; it can take over another policy with `reload`."""

    def __init__(self, config: Config, worker: int = 0) -> None:
        self.lifecycle = Lifecycle()
        self.fleet = Fleet(time.monotonic)
        self.reporting = Reporting(config, worker)
        self.reporting.watch(self.fleet, self.lifecycle, self._known)
        self.limits = LimitService(config, self.reporting)
        self._budgets = Budgets(lambda: self.generation, self.limits.admission, self.reporting.registry)
        self.replays = Replays(config, lambda: self.generation.config, self.lifecycle, self.reporting.registry)
        self.hardware = HardwareTimes(config.server.workers, config.state.nodes)
        self.attempts, self.drains = attempts_of(self), Drains()
        recorder, ledger = self.reporting.recorder, self.reporting.ledger
        office = Office(compose((self.attempts,), Dispatch()), recorder.record, ledger, self.drains)
        self.caching = Caching(config, office, lambda: self.generation, self.reporting.registry)
        handler = compose(stages(self), Dispatch())
        self.door = Door(lambda: self.generation, self.lifecycle, self.reporting.registry)
        self.edge = Edge(lambda: self.generation, handler, self.lifecycle, self.drains, self.door)
        if self.reporting.traces is not None:
            self.edge.sampled_from = self.reporting.traces.outlook.sampled_from
            self.caching.watch(self.reporting.traces.stored)
        self.caching.serve(self.edge)
        self.keys = KeyService(config, lambda: self.generation.keys)
        live = LiveView(lambda: self.generation, self.fleet, self.lifecycle, self.reporting.scrapes)
        self._upstreams = UpstreamSet()
        watch_engines(self.reporting.registry, lambda: self._upstreams.engines or ())
        watch_hardware(self.reporting.registry, self.hardware)
        self.hardware.watch_engines(self._upstreams.engine_busy_s)
        self._hours = HardwareHours(self.hardware, self.keys.database)
        self._capture = SpendCapture(self.keys.database)
        watch_capture(self.reporting.registry, self._capture)
        watch_lines(self.reporting.registry, self._reached)
        parts = Parts(
            live,
            self.keys,
            lambda: self.generation,
            self.limits.store,
            self.reporting.decisions,
            self.reporting.events,
            lambda: self._upstreams.engines,
            lambda: self.caching if self.caching.is_used else None,
            self._capture.look,
        )
        routes = all_routes(parts)
        self.operations = Operations(routes, gate_of(config.secrets.admin_token))
        self.user_operations = Operations(routes, gate_of_user())
        self._probes = HealthProbes(self.fleet, random.Random(secrets.randbits(64)))  # noqa: S311 - jitter
        self._retiring: set[asyncio.Task[None]] = set()
        self._last_retired: asyncio.Task[None] | None = None
        self.generation: Generation

    @classmethod
    async def start(cls, config: Config, worker: int = 0) -> Gateway:
        """Open the ledger and get every upstream going. Raises `StartError` with nothing left behind.

        `worker` is the number of this process among those that share a port.
        """
        gateway = cls(config, worker)
        await gateway.reporting.start()
        try:
            await gateway.limits.start()
            await gateway.replays.start()
            await gateway.caching.prepare(config)
            await gateway.keys.start(config)
            gateway.generation = await gateway._take_over(config, number=1)
            gateway._probes.watch(gateway.generation)
            refuse_shared_token(config.secrets.admin_token, gateway.generation.keys)
            gateway.door.start()
            gateway._budgets.start()
            gateway._hours.start()
            gateway._capture.start()
        except BaseException:
            await gateway.close()
            raise
        return gateway

    async def reload(self, config: Config) -> None:
        """Take over `config` whole, or raise `StartError` and leave everything as it was."""
        old = self.generation
        if fixed := [name for name, value in bound_to(config).items() if bound_to(old.config)[name] != value]:
            raise StartError(f"{', '.join(fixed)}: a change takes effect at a restart only")
        await self.caching.prepare(config)
        self.generation = await self._take_over(config, old.number + 1)
        kept = frozenset(name for name, up in old.upstreams.items() if self.generation.upstreams.get(name) is up)
        # What is reached in a new way (another key, another address) has no past to be judged by.
        self.fleet.keep_only(kept, frozenset(route.name for route in self.generation.routes))
        self._probes.watch(self.generation)
        retired = [upstream for name, upstream in old.upstreams.items() if name not in kept]
        task = self._last_retired = asyncio.create_task(self._retire(old, retired, self._last_retired))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self.warm()

    def warm(self) -> None:
        """Get ready what nobody shall wait for later, now that calls are taken."""
        generation = self.generation
        models = [deployment.model for deployment in generation.deployments.values()]
        self.limits.warm(generation.limits.limits, models)

    async def close(self) -> None:
        """Let go of the upstreams, then settle and write out all that was recorded."""
        self.door.close()
        await self._budgets.close()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.caching.stop_asking()
        await self.drains.close()
        await self.replays.close()
        await self.caching.close()
        await self._probes.close()
        await self._hours.close()
        await self._capture.close()
        await self._upstreams.close()
        await self.keys.close()
        await self.reporting.close()
        await self.limits.close()

    def _known(self) -> list[Deployment]:
        return list(self.generation.deployments.values())

    def _reached(self) -> list[tuple[Deployment, Upstream]]:
        """The deployments of the policy in force with what reaches them."""
        known = self.generation.deployments
        return [(known[id_], upstream) for id_, upstream in self.generation.upstreams.items() if id_ in known]

    async def _take_over(self, config: Config, number: int) -> Generation:
        known, routes, prices_date = await asyncio.to_thread(compiled, config)
        keys, index = await asyncio.to_thread(self.keys.view, config), compile_routes(routes)
        limits = LimitIndex(await asyncio.to_thread(limits_of, config))
        upstreams = await self._upstreams.take_over(config, known)  # the last thing that can fail
        generation = Generation(
            number=number,
            config=config,
            digest=digest_of(config),
            keys=keys,
            routes=routes,
            index=index,
            deployments=known,
            upstreams=upstreams,
            forwarded={name: forwarded_headers(config.providers[d.provider]) for name, d in known.items()},
            limits=limits,
            calendars=Calendars(self.keys.zone_of(config)),
            unpriced=unpriced_of(config),
            prices_date=prices_date,
            when_full=when_full(config),
            weight_of=self.keys.weight_of(config),
            drains=any(deployment.on_disconnect is OnDisconnect.DRAIN for deployment in known.values()),
        )
        self.reporting.declare(generation)
        self.hardware.take_over(known.values())
        return generation

    async def _retire(self, old: Generation, upstreams: list[Upstream], earlier: asyncio.Task[None] | None) -> None:
        """Close what only the old policy needed, once its last call is over; or when the gateway closes."""
        try:
            # Calls of still older policies may be using what this one had kept from theirs.
            if earlier is not None:
                await asyncio.wait([earlier])
            await old.in_use.until_over()
        finally:
            for upstream in upstreams:
                await upstream.close()


class Compiled(NamedTuple):
    """A policy's deployments and routes, and the day of the price table that was asked first."""

    deployments: dict[str, Deployment]
    routes: tuple[Route, ...]
    prices_date: str


def compiled(config: Config, now_s: float | None = None) -> Compiled:
    """Deployments and routes in the policies' vocabulary, at the prices of a moment (None: now). Reads tables from
    files, so it runs in a thread. Raises `StartError`.
    """
    tables = tables_of(config, now_s)
    try:
        known = deployments(config, tables.price_of, ModelTable().facts_of, now_s)
    except BrokenTable as error:
        raise StartError(f"prices: {error}") from error
    return Compiled(known, routing(config, known), tables.date)


def when_full(config: Config) -> Literal["auto", "open", "closed"]:
    """What a full ledger means for calls. `auto` is left where only a stored key may have a budget."""
    stated = config.ledger.when_full
    return "closed" if stated == "auto" and has_budget(config) else stated


def bound_to(config: Config) -> dict[str, object]:
    """What a process is bound to from start to end. A reload that differs here is refused, never half obeyed."""
    server = config.server
    return {
        "server.listen": server.listen,
        "server.admin": server.admin,
        "server.tls": server.tls,
        "state": config.state,
        "ledger": config.ledger,
        "cache": config.cache,
        "telemetry": config.telemetry,
        "secrets.admin_token": config.secrets.admin_token,
        "secrets.pepper": config.secrets.newest_first,
    }


def digest_of(config: Config) -> str:
    """Tells policies apart in metrics and logs; secrets count only as being there."""
    return hashlib.sha256(repr(config).encode()).hexdigest()[:12]


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The listener's certificate. Raises `StartError` where it cannot be read."""
    tls = config.server.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise StartError(f"server.tls: {error}") from error
    return context
