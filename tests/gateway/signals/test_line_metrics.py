from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.remote_engine import RemoteEngine
from gateway.signals.line_metrics import watch_lines
from gateway.signals.metrics import Registry
from policies.choosing import Line
from policies.vocabulary import Deployment

if TYPE_CHECKING:
    from gateway.upstream import Upstream

ENGINE = Deployment("llama", "local", "llama_cpp", "m")
OPENAI = Deployment("gpt", "openai", "openai", "gpt-4o")


class EngineElsewhere(RemoteEngine):
    """One of which only its line is asked."""

    def __init__(self) -> None:
        pass

    @property
    def line(self) -> Line:
        return Line(3, 4, 8)

    @property
    def ready(self) -> bool:
        return True

    def describe(self) -> dict[str, str | int | float | None]:
        return {}


class StillUpstream:
    """One that stands as it is told."""

    def __init__(self, line: Line | None, *, ready: bool = True, **numbers: str | float | None) -> None:
        self.line = line
        self.ready = ready
        self._numbers = numbers

    def describe(self) -> dict[str, str | float | None]:
        return dict(self._numbers)


def told(*pairs: tuple[Deployment, StillUpstream]) -> dict[str, dict[tuple[str, ...], object]]:
    registry = Registry()
    watch_lines(registry, lambda: [(deployment, cast("Upstream", upstream)) for deployment, upstream in pairs])
    return {one.family.name.removeprefix("pointsman_"): dict(one.values) for one in registry.snapshot()}


def test_an_engine_is_told_of_by_its_deployment() -> None:
    shown = told((ENGINE, StillUpstream(Line(3, 4, 8), cells=2000, known_cells=500)))
    here = ("llama",)
    assert shown["queue_depth"] == shown["local_queue"] == {here: 3}
    assert (shown["local_slots"], shown["local_slots_busy"]) == ({here: 8}, {here: 4})
    assert shown["local_kv_used_ratio"] == {here: 0.25}
    assert shown["local_up"] == {here: True}


def test_what_tells_no_line_has_none() -> None:
    shown = told((OPENAI, StillUpstream(None)))
    assert all(not shown[name] for name in ("queue_depth", "local_queue", "local_up", "local_kv_used_ratio"))


def test_an_engine_that_is_silent_is_not_up() -> None:
    shown = told((ENGINE, StillUpstream(None)), (ENGINE, StillUpstream(None)))
    assert shown["local_up"] == {("llama",): False}
    assert shown["queue_depth"] == {}


def test_shares_that_are_none_are_left_out() -> None:
    for cells, known in ((0, 0), (10, 11), (10, -1), ("many", 3), (None, None)):
        shown = told((ENGINE, StillUpstream(Line(), cells=cells, known_cells=known)))
        assert shown["local_kv_used_ratio"] == {}


def test_what_an_engine_elsewhere_tells_is_the_same_for_all_workers() -> None:
    registry, far = Registry(), Deployment("far", "gpus", "llama_cpp", "m")
    upstreams = [(ENGINE, cast("Upstream", StillUpstream(Line(1, 2, 4)))), (far, cast("Upstream", EngineElsewhere()))]
    watch_lines(registry, lambda: upstreams)
    shared = {one.family.name: one.shared for one in registry.snapshot() if one.shared}
    lines = ("pointsman_queue_depth", "pointsman_local_queue", "pointsman_local_slots", "pointsman_local_slots_busy")
    assert shared == dict.fromkeys(lines, frozenset({("far",)}))
