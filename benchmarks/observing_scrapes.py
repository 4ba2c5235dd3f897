"""Parts that are measured by a thread's own processor time, and the scrapes and pushes among what observing costs."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import prometheus_client

from gateway.signals import telemetry
from gateway.signals.deltas import Deltas
from gateway.signals.exposition import OPENMETRICS, PROMETHEUS, Renderer
from gateway.signals.merged_metrics import MergedMetrics
from gateway.signals.metrics import Registry
from gateway.signals.pushes import LENGTH_BYTES, Push, framed, read_said

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.signals.metrics import FamilySnapshot

SERIES: Final = 5_000
REPEATS: Final = 2_000


class Part(NamedTuple):
    """One thing to measure: `times` calls of `run` are one round, and each is about `each` of what is told. `aim` is in
    the part's unit.
    """

    name: str
    run: Callable[[], object]
    aim: float | None = None
    times: int = REPEATS
    unit: str = "us"
    each: int = 1


class Found(NamedTuple):
    best: float
    usual: float


def measure(part: Part, rounds: int) -> Found:
    """Seconds of this thread's processor time a call, by round."""
    part.run()
    spent_s = []
    for _ in range(rounds):
        began_s = time.thread_time()
        for _ in range(part.times):
            part.run()
        spent_s.append((time.thread_time() - began_s) / (part.times * part.each))
    scale = 1e6 if part.unit == "us" else 1e3
    return Found(scale * min(spent_s), scale * median(spent_s))


def five_thousand() -> Registry:
    """Series as a gateway has them: half of them in histograms."""
    registry = Registry()
    for number in range(SERIES // 2):
        registry.cells(telemetry.TEAM_TOKENS).at(f"team-{number % 500}", f"type-{number // 500}").inc(number)
    for number in range(SERIES // 2 // telemetry.UPSTREAM_DURATION.series_each):
        where = ("p", f"deployment-{number}", "m", "chat")
        registry.histograms(telemetry.UPSTREAM_DURATION).at(*where).observe(0.1 * number)
    return registry


def of_scrapes() -> list[Part]:
    registry, renderer = five_thousand(), Renderer()
    taken = registry.snapshot()
    client = prometheus_client.CollectorRegistry()
    _fill(client)
    texts = [("Prometheus", PROMETHEUS), ("OpenMetrics", OPENMETRICS)]
    return [
        Part("scrape of 5,000 series: copied on the loop", registry.copied, 2.0, times=20, unit="ms"),
        *(
            Part(
                f"the same: written in a thread, {name}",
                partial(renderer.text, taken, content_type),
                times=10,
                unit="ms",
            )
            for name, content_type in texts
        ),
        Part("the same: written for the first time", partial(_first_text, taken), times=3, unit="ms"),
        Part("the same: written by prometheus_client", partial(_text_of, client), times=2, unit="ms"),
    ]


def _first_text(taken: list[FamilySnapshot]) -> bytes:
    return Renderer().text(taken)


def of_holds(rounds: int) -> list[tuple[Part, Found]]:
    """For how long at a time the thread that writes a scrape holds the interpreter, which the loop waits for."""
    taken = five_thousand().snapshot()
    found: dict[str, list[float]] = {"for the first time": [], "again": []}
    for _ in range(rounds):
        rested_s: list[float] = []
        renderer = Renderer(rest=lambda at=rested_s: at.append(time.thread_time()))  # type: ignore[misc]
        for held_ms in found.values():
            rested_s[:] = [time.thread_time()]
            renderer.text(taken)
            rested_s.append(time.thread_time())
            held_ms.append(1e3 * max(later - earlier for earlier, later in pairwise(rested_s)))
    name = "scrape of 5,000 series: the interpreter held by its thread, written"
    return [
        (Part(f"{name} {which}", int, 5.0, unit="ms"), Found(min(held_ms), median(held_ms)))
        for which, held_ms in found.items()
    ]


def _fill(client: prometheus_client.CollectorRegistry) -> None:
    tokens = prometheus_client.Counter("team_tokens", "Tokens.", ["team", "type"], registry=client)
    for number in range(SERIES // 2):
        tokens.labels(f"team-{number % 500}", f"type-{number // 500}").inc(number)
    wait = prometheus_client.Histogram(
        "wait", "Waits.", ["provider", "deployment", "model"], buckets=telemetry.DURATION, registry=client
    )
    for number in range(SERIES // 2 // telemetry.UPSTREAM_DURATION.series_each):
        wait.labels("p", f"deployment-{number}", "m").observe(0.1 * number)


def _text_of(client: prometheus_client.CollectorRegistry) -> bytes:
    return prometheus_client.generate_latest(client)


def _frames(deltas: Deltas) -> list[bytes]:
    frames: list[bytes] = []
    while not frames or deltas.is_behind:
        push = deltas.next()
        frames.append(framed(push))
        deltas.heard(push.number)
    return frames


def of_pushes() -> list[Part]:
    """What holds a supervisor's loop, and a worker's: one push at a time."""
    worker = five_thousand()
    deltas = Deltas(worker, 1)
    frames = _frames(deltas)
    merged = MergedMetrics(Registry())
    number = 0

    def take() -> None:
        nonlocal number
        number += 1
        push = read_said(frames[0][LENGTH_BYTES:])
        if not isinstance(push, Push):
            raise TypeError(push)
        if not merged.take("a connection", 0, Push(1, number, push.counters, push.histograms, push.gauges)):
            raise RuntimeError("it is to be counted")

    def cut_nothing() -> None:
        deltas.heard(deltas.next().number)

    def cut() -> None:
        for series in worker.counted():
            for cell in list(series.children.values())[:1_000]:
                cell.value += 1
        cut_nothing()

    _take_the_rest(merged, frames[1:])
    return [
        Part("worker: 5,000 series looked through, none of which grew", cut_nothing, 2.0, times=20, unit="ms"),
        Part("worker: a push cut, 1,000 series of which grew", cut, 5.0, times=20, unit="ms"),
        Part("supervisor: a push of 1,000 series read, looked at and counted", take, 5.0, times=20, unit="ms"),
        Part("supervisor: scrape of 5,000 series, copied on the loop", merged.copied, 5.0, times=20, unit="ms"),
    ]


def _take_the_rest(merged: MergedMetrics, frames: list[bytes]) -> None:
    """As of another worker, so that the supervisor has all series."""
    for frame in frames:
        push = read_said(frame[LENGTH_BYTES:])
        if isinstance(push, Push):
            merged.take("another", 1, push)
