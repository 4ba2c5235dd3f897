from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.local.frames import Load, Standing
from gateway.local.serving.keeping import Engine, EngineSpec
from gateway.local.serving.supervisor import State
from gateway.signals import engine_telemetry as names
from gateway.signals.engine_metrics import watch_engines
from gateway.signals.metrics import Registry

if TYPE_CHECKING:
    from gateway.local.serving.engines import Engines
    from gateway.local.serving.supervisor import Supervisor


class StillSupervisor:
    """A supervisor that stands still."""

    def __init__(self, state: State, standing: Standing, cold_start_s: float | None) -> None:
        self.state = state
        self.standing = standing
        self.cold_start_s = cold_start_s
        self.restarts = 2
        self.facts = None


class StillHome:
    def clock(self) -> float:
        return 0.0


def an_engine(name: str, state: State, standing: Standing, cold_start_s: float | None = None) -> Engine:
    supervisor = cast("Supervisor", StillSupervisor(state, standing, cold_start_s))
    return Engine(EngineSpec(name, Load("m"), needed_bytes=1000), supervisor, cast("Engines", StillHome()))


def shown(*engines: Engine) -> dict[str, dict[tuple[str, ...], object]]:
    registry = Registry()
    watch_engines(registry, lambda: engines)
    return {family.family.name: dict(family.values) for family in registry.snapshot()}


def test_a_working_engine_is_shown_as_its_worker_told_it() -> None:
    standing = Standing(waiting=3, waiting_tokens=90, running=4, reading_tokens=10, known_cells=500, cells=2000)
    standing = Standing(**{name: getattr(standing, name) for name in standing.__struct_fields__} | {
        "read_tokens": 70, "cached_tokens": 30, "written_tokens": 50, "guessed_tokens": 8, "accepted_tokens": 6,
        "steps": 12, "step_s": 0.02, "python_s": 0.001, "read_tokens_per_s": 800.0, "write_tokens_per_s": 200.0,
    })  # fmt: skip
    told = shown(an_engine("bundled", State.READY, standing, 0.75))
    here = ("bundled",)
    assert told[names.LOCAL_WAITING_TOKENS.name] == {here: 100}
    assert told[names.LOCAL_CELLS.name] == {here: 2000}
    assert told[names.LOCAL_STEPS.name] == {here: 12}
    assert told[names.LOCAL_STEP_PYTHON.name] == {here: 0.001}
    assert told[names.LOCAL_COLD_START.name] == {here: 0.75}
    assert told[names.LOCAL_PACE.name] == {("bundled", "prefill"): 800.0, ("bundled", "decode"): 200.0}
    counts = {"prefill": 70, "reused": 30, "decode": 50, "guessed": 8, "accepted": 6}
    assert told[names.LOCAL_TOKENS.name] == {("bundled", kind): count for kind, count in counts.items()}


def test_a_model_that_was_never_loaded_has_no_cold_start_and_takes_nothing() -> None:
    told = shown(an_engine("bundled", State.UNLOADED, Standing()))
    assert told[names.LOCAL_LOADS.name] == {("bundled",): 0}
    assert told.get(names.LOCAL_COLD_START.name, {}) == {}
    assert told[names.LOCAL_MEMORY.name] == {("bundled",): 0}


def test_where_there_are_no_engines_nothing_is_shown() -> None:
    assert all(not values for name, values in shown().items() if "_local_" in name)
