"""What a scrape reads of deployments that tell how they stand: their line, their slots, what their cells hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.remote_engine import RemoteEngine
from gateway.signals import engine_telemetry, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.signals.metrics import Registry
    from gateway.signals.telemetry import Family
    from gateway.upstream import Upstream
    from policies.choosing import Line
    from policies.vocabulary import Deployment

Samples = list[tuple[tuple[str, ...], float]]
Upstreams = Iterable[tuple["Deployment", "Upstream"]]

ENGINE: Final = "llama_cpp"


def watch_lines(registry: Registry, upstreams: Callable[[], Upstreams]) -> None:
    """Let scrapes read the upstreams of the policy in force, each with its deployment."""

    def line(family: Family, read: Callable[[Line], int | None]) -> None:
        registry.sample(family, lambda: _lines(upstreams(), read), lambda: _elsewhere(upstreams()))

    line(telemetry.QUEUE_DEPTH, lambda line: line.queued)
    line(engine_telemetry.LOCAL_QUEUE, lambda line: line.queued)
    line(engine_telemetry.LOCAL_SLOTS, lambda line: line.slots)
    line(engine_telemetry.LOCAL_SLOTS_BUSY, lambda line: line.running)
    registry.sample(engine_telemetry.LOCAL_UP, lambda: _up(upstreams()))
    registry.sample(engine_telemetry.LOCAL_KV_USED, lambda: _kv_used(upstreams()))


def _lines(upstreams: Upstreams, read: Callable[[Line], int | None]) -> Samples:
    lines = ((deployment.name, upstream.line) for deployment, upstream in upstreams)
    values = ((name, None if line is None else read(line)) for name, line in lines)
    return _once(((name,), value) for name, value in values if value is not None)


def _elsewhere(upstreams: Upstreams) -> set[tuple[str, ...]]:
    """Each worker has its own engine of a model that is loaded here; one elsewhere is the same for all of them."""
    return {(deployment.name,) for deployment, upstream in upstreams if isinstance(upstream, RemoteEngine)}


def _up(upstreams: Upstreams) -> Samples:
    """An engine elsewhere that does not tell how it stands is as good as gone for who looks at it."""
    engines = ((deployment.name, upstream) for deployment, upstream in upstreams if deployment.kind == ENGINE)
    return _once(((name,), upstream.ready and upstream.line is not None) for name, upstream in engines)


def _kv_used(upstreams: Upstreams) -> Samples:
    """An engine elsewhere may say anything, so what is no share of anything is left out."""
    found: Samples = []
    for deployment, upstream in upstreams:
        if deployment.kind == ENGINE:
            numbers = upstream.describe()
            cells, known = numbers.get("cells"), numbers.get("known_cells")
            if isinstance(cells, int) and isinstance(known, int) and 0 <= known <= cells and cells:
                found.append(((deployment.name,), known / cells))
    return _once(found)


def _once(values: Iterable[tuple[tuple[str, ...], float]]) -> Samples:
    """A deployment with several credentials is one, and told of once."""
    return list(dict(values).items())
