"""What a scrape reads of the engines of this process, as their workers last told it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.signals import engine_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.local.frames import Standing
    from gateway.local.serving.keeping import Engine
    from gateway.signals.metrics import Labels, Registry
    from gateway.signals.telemetry import Family

Samples = list[tuple["Labels", float]]


def watch_engines(registry: Registry, engines: Callable[[], Iterable[Engine]]) -> None:
    """Let scrapes read the engines there are; nothing is counted on the path for them."""

    def standing(family: Family, read: Callable[[Standing], float]) -> None:
        registry.sample(family, lambda: [((one.spec.name,), read(one.supervisor.standing)) for one in engines()])

    def engine(family: Family, read: Callable[[Engine], float | None]) -> None:
        registry.sample(
            family,
            lambda: [((one.spec.name,), value) for one in engines() if (value := read(one)) is not None],
        )

    engine(engine_telemetry.LOCAL_LOADS, lambda one: one.loads)
    engine(engine_telemetry.LOCAL_RESTARTS, lambda one: one.supervisor.restarts)
    engine(engine_telemetry.LOCAL_COLD_START, lambda one: one.supervisor.cold_start_s)
    engine(engine_telemetry.LOCAL_MEMORY, lambda one: one.spec.needed_bytes if one.occupies else 0)
    engine(engine_telemetry.LOCAL_CALLS, lambda one: one.places)
    standing(engine_telemetry.LOCAL_WAITING_TOKENS, lambda now: now.waiting_tokens + now.reading_tokens)
    standing(engine_telemetry.LOCAL_CELLS, lambda now: now.cells)
    standing(engine_telemetry.LOCAL_STEPS, lambda now: now.steps)
    standing(engine_telemetry.LOCAL_STEP, lambda now: now.step_s)
    standing(engine_telemetry.LOCAL_STEP_PYTHON, lambda now: now.python_s)
    standing(engine_telemetry.LOCAL_LONGEST_GAP, lambda now: now.longest_gap_s)
    registry.sample(engine_telemetry.LOCAL_PACE, lambda: [sample for one in engines() for sample in _paces(one)])
    registry.sample(engine_telemetry.LOCAL_TOKENS, lambda: [sample for one in engines() for sample in _tokens(one)])


def _paces(engine: Engine) -> Samples:
    name, now = engine.spec.name, engine.supervisor.standing
    return [((name, "prefill"), now.read_tokens_per_s), ((name, "decode"), now.write_tokens_per_s)]


def _tokens(engine: Engine) -> Samples:
    name, now = engine.spec.name, engine.supervisor.standing
    counts = {
        "prefill": now.read_tokens,
        "reused": now.cached_tokens,
        "decode": now.written_tokens,
        "guessed": now.guessed_tokens,
        "accepted": now.accepted_tokens,
    }
    return [((name, kind), count) for kind, count in counts.items()]
