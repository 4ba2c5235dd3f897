"""A frame as a terminal shows it. Names go through `printable`: a terminal acts upon more than one would think."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.scrubbing import printable
from gateway.signals.telemetry import NONE
from gateway.watching.scraped import total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

    from gateway.watching.frame import DeploymentLine, EngineLine, Frame, LimitLine, Sight

NOTHING: Final = "-"
NARROW_COLUMNS: Final = 100
COLOURS: Final = {"closed": "green", "half open": "yellow", "open": "red"}
SORTS: Final[Mapping[str, Callable[[DeploymentLine], tuple[float, str]]]] = {
    "load": lambda line: (-line.attempts_per_s, line.name),
    "errors": lambda line: (-(line.failed_share or 0.0), line.name),
    "cost": lambda line: (-line.usd_per_hour, line.name),
    "name": lambda line: (0.0, line.name),
}


def drawn(frame: Frame, title: str, sort: str = "load", columns: int = 120) -> RenderableType:
    """The view under its title, the most urgent first; parts of which there is nothing to tell are left out."""
    parts: list[RenderableType] = [Text(printable(title, columns), style="bold"), _summary(frame, columns)]
    parts.append(_deployments(frame, sort, is_narrow=columns < NARROW_COLUMNS))
    if frame.beside.limits:
        parts.append(_limits(frame.beside.limits))
    if frame.teams.keys() - {NONE}:
        parts.append(_teams(frame.teams))
    if frame.engines:
        parts.append(_engines(frame.engines))
    if frame.beside.missing:
        parts.append(Text(printable(frame.beside.missing, 400), style="dim"))
    return Group(*parts)


def drawn_sight(sight: Sight, title: str, sort: str = "load", columns: int = 120) -> RenderableType:
    """The latest view; above it what is wrong and since when, for then it is a view of how things were."""
    if sight.frame is None:
        parts: list[RenderableType] = [Text(printable(title, columns), style="bold")]
    else:
        parts = [drawn(sight.frame, title, sort, columns)]
    if sight.trouble:
        told = f"{printable(sight.trouble, 400)}\nsince {_clock(sight.trouble_s)} ({_age(sight.trouble_s)}); asking on"
        of = f"; below is how it was at {_clock(sight.frame_age_s)}" if sight.frame else ""
        parts.insert(0, Text(told + of, style="bold red"))
    elif sight.frame is None:
        parts.append(Text("looking", style="dim"))
    return Group(*parts)


def _clock(ago_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() - ago_s))


def _age(seconds: float) -> str:
    """In whole seconds, so that it moves once a second."""
    return f"{seconds:.0f} s" if seconds < 600 else duration(seconds)


def _summary(frame: Frame, columns: int) -> Panel:
    cells: list[tuple[str, str | Text]] = [
        ("requests/s", number(total(frame.per_s))),
        ("failed", _alarming(frame.failed_share, 0.01, 0.05)),
        ("tokens/s in", number(frame.input_per_s)),
        ("out", number(frame.output_per_s)),
        ("USD/h", money(frame.usd_per_hour)),
        ("today", money(frame.beside.spent_today_usd)),
        ("TTFT p50", duration(frame.ttft_s[0])),
        ("p95", duration(frame.ttft_s[1])),
        ("latency p50", duration(frame.took_s[0])),
        ("p95", duration(frame.took_s[1])),
        ("overhead p99", duration(frame.overhead_p99_s)),
        ("in flight", number(frame.in_flight)),
        ("streams", number(frame.streams)),
        ("cache hits", share(frame.hit_share)),
        ("unpriced/s", _alarming_rate(frame.unpriced_per_s)),
        *([("workers", _workers(frame.workers))] if frame.workers else []),
    ]
    lines = Text()
    width = 0
    for name, value in cells:
        shown = value if isinstance(value, Text) else Text(value, style="bold")
        length = len(name) + 1 + len(shown)
        if width and width + 3 + length > columns - 4:
            lines.append("\n")
            width = 0
        lines.append("   " if width else "").append(f"{name} ", style="dim").append_text(shown)
        width += length + 3
    for word, rates in (("by outcome", frame.per_s), ("denied by", frame.denied_per_s)):
        moving = {name: rate for name, rate in rates.items() if rate}
        if moving:
            told = "  ".join(f"{printable(name, 40)} {number(rate)}/s" for name, rate in _largest(moving))
            lines.append(f"\n{word} ", style="dim").append(told)
    return Panel(lines, padding=(0, 1))


def _deployments(frame: Frame, sort: str, *, is_narrow: bool) -> Table:
    heads = ["deployment", "breaker", "req/s", "failed", "TTFT p95", "p95", "queue", "USD/h"]
    left_out = {4, 6} if is_narrow else set()
    table = _table([head for at, head in enumerate(heads) if at not in left_out])
    for line in sorted(frame.deployments, key=SORTS[sort]):
        cells: list[RenderableType] = [
            Text(printable(line.name, 40)),
            Text(line.breaker, style=COLOURS.get(line.breaker, "")),
            number(line.attempts_per_s),
            _alarming(line.failed_share, 0.05, 0.2),
            duration(line.ttft_p95_s),
            duration(line.took_p95_s),
            number(line.queue),
            money(line.usd_per_hour),
        ]
        table.add_row(*(cell for at, cell in enumerate(cells) if at not in left_out))
    return table


def _limits(limits: tuple[LimitLine, ...]) -> Table:
    table = _table(["limit", "holder", "used", "again in"])
    for line in limits:
        of = f"{line.scope} {line.resource}" + (f"/{line.window}" if line.window else "")
        table.add_row(
            Text(printable(of, 40)), Text(printable(line.holder, 40)), _alarming(line.used_share, 0.8, 0.95),
            duration(line.reset_s),
        )  # fmt: skip
    return table


def _teams(teams: Mapping[str, float]) -> Table:
    table = _table(["team", "USD/h"])
    for name, usd_per_hour in _largest(teams):
        table.add_row(Text(printable(name, 40)), money(usd_per_hour))
    return table


def _engines(engines: tuple[EngineLine, ...]) -> Table:
    table = _table(["engine", "slots busy", "waiting", "cells", "read/s", "written/s"])
    for line in engines:
        busy = f"{line.busy:g}/{line.slots:g}" if line.is_up else "down"
        table.add_row(
            Text(printable(line.name, 40)), busy, number(line.waiting), share(line.kv_share),
            number(line.read_per_s), number(line.written_per_s),
        )  # fmt: skip
    return table


def _table(heads: list[str]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for head in heads:
        is_text = head in {"deployment", "breaker", "limit", "holder", "team", "engine"}
        table.add_column(head, justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis")
    return table


def _largest(values: Mapping[str, float], most: int = 8) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def _workers(workers: Mapping[str, float]) -> Text:
    up = sum(1 for value in workers.values() if value)
    return Text(f"{up}/{len(workers)}", style="bold" if up == len(workers) else "bold red")


def _alarming(value: float | None, warn: float, alarm: float) -> Text:
    style = "" if value is None or value < warn else "yellow" if value < alarm else "bold red"
    return Text(share(value), style=style)


def _alarming_rate(value: float) -> Text:
    return Text(number(value), style="bold yellow" if value else "bold")


def number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.1f}k"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def money(usd: float | None) -> str:
    if usd is None:
        return NOTHING
    return f"{usd:,.2f}" if usd >= 1 or not usd else f"{usd:.4f}"


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 600:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
