"""Time series, state timelines and heatmaps: panels whose x axis is time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from dashboards.preview.canvas import Box
from dashboards.preview.frames import Frame, frames_of, reduced
from dashboards.preview.looks import (
    FAINT,
    GRID,
    TEXT,
    colour,
    defaults_of,
    mapped,
    properties_of,
    series_colour,
    steps_of,
    threshold_colour,
)
from dashboards.preview.units import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from dashboards.preview.canvas import Canvas
    from dashboards.preview.panels import Show

Json = dict[str, Any]

STATE_PX: Final = 14
LINE_PX: Final = 16
MOST_IN_LEGEND: Final = 6
CALC_PX: Final = 78
_TITLES: Final = {"lastNotNull": "Last", "max": "Max", "mean": "Mean", "min": "Min", "sum": "Total", "last": "Last"}
_HEAT: Final = LinearSegmentedColormap.from_list(
    "turbo-like", ["#1b1f3b", "#3b4cc0", "#26a8c9", "#5fd068", "#f2cc0c", "#ff780a", "#c4162a"]
)


def graph(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """Lines over time with their legend below; False where there is nothing to draw."""
    frames = frames_of(panel, show.ask)
    if not frames:
        return False
    below = _legend(canvas, box, panel, frames)
    right = [frame for frame in frames if "unit" in properties_of(panel, frame.name)]
    axes = canvas.axes(
        box.inner(left=_margin(canvas, panel, frames), right=58 if right else 8, top=6, bottom=below + 20)
    )
    _lines(axes, panel, [frame for frame in frames if frame not in right], frames)
    if right:
        second = axes.twinx()
        for side in second.spines.values():
            side.set_visible(False)
        second.tick_params(length=0, labelsize=8, colors=FAINT, pad=3)
        unit = properties_of(panel, right[0].name)["unit"]
        for frame in right:
            second.plot(
                frame.times, frame.values, color=series_colour(panel, frame.name, frames.index(frame)), linewidth=1.1
            )
        second.set_ylim(0, second.get_ylim()[1] if _most(second) > 0 else 1)
        second.yaxis.set_major_locator(MaxNLocator(4))
        second.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))
    _time(axes, show)
    return True


def _margin(canvas: Canvas, panel: Json, frames: Sequence[Frame]) -> float:
    field = defaults_of(panel)
    most = max(max(frame.finite) for frame in frames)
    samples = [written(most * part, field.get("unit"), field.get("decimals")) for part in (1.0, 0.75, 0.5, 0.3)]
    return max(canvas.width_of(sample, 11) for sample in samples) + 14


def _lines(axes: Axes, panel: Json, drawn: Sequence[Frame], frames: Sequence[Frame]) -> None:
    field = defaults_of(panel)
    custom = field.get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    opacity = custom.get("fillOpacity", 10) / 100
    grounds: dict[float, float] = {}
    for frame in drawn:
        own = properties_of(panel, frame.name)
        shade = series_colour(panel, frame.name, frames.index(frame))
        in_stack = stacked and own.get("custom.stacking", {}).get("mode") != "none"
        values = np.array(frame.values)
        moments = [round(time, 1) for time in frame.times]
        ground = np.array([grounds.get(moment, 0.0) for moment in moments]) if in_stack else np.zeros(len(values))
        tops = values + ground
        if in_stack:
            said = ((moment, top) for moment, top in zip(moments, tops.tolist(), strict=True) if not math.isnan(top))
            grounds.update(said)
        dashes = "--" if own.get("custom.lineStyle", {}).get("fill") == "dash" else "-"
        axes.plot(frame.times, tops, color=shade, linewidth=1.1, linestyle=dashes)
        if fill := own.get("custom.fillOpacity", opacity * 100) / 100:
            axes.fill_between(
                frame.times, ground, tops, color=shade, alpha=fill * (0.6 if in_stack else 0.4), linewidth=0
            )
    _value_axis(axes, field, custom)


def _value_axis(axes: Axes, field: Json, custom: Json) -> None:
    low, high = axes.get_ylim()
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        soft = custom.get("axisSoftMin")
        low = field["min"] if field.get("min") is not None else min(low, soft) if soft is not None else low
        low = 0 if soft == 0 and low < 0 and _least(axes) >= 0 else low
        high = high if _most(axes) > 0 else 1
        top = field["max"] if field.get("max") is not None else high
        axes.set_ylim(low, top if top > low else low + 1)
    if custom.get("thresholdsStyle", {}).get("mode", "off") != "off":
        for step in steps_of(field):
            bound = step.get("value")
            if bound is not None and axes.get_ylim()[0] <= bound <= axes.get_ylim()[1] * 1.6:
                axes.axhline(bound, color=colour(step["color"]), linewidth=1, linestyle=(0, (5, 4)), alpha=0.8)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    unit, decimals = field.get("unit"), field.get("decimals")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(round(value, 12), unit, decimals)))
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _drawn(axes: Axes) -> list[float]:
    known = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    return [value for values in known for value in values if math.isfinite(value)]


def _least(axes: Axes) -> float:
    return min(_drawn(axes), default=0.0)


def _most(axes: Axes) -> float:
    return max(_drawn(axes), default=0.0)


def _time(axes: Axes, show: Show) -> None:
    start_s, end_s = show.span
    axes.set_xlim(start_s, end_s)
    span_s = end_s - start_s
    step_s = next(step for step in (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 10_800) if span_s / step <= 7)
    first_s = start_s + 0.05 * span_s  # further left it would run into the other axis
    ticks = np.arange(math.ceil(first_s / step_s) * step_s, end_s, step_s)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    form = "%H:%M:%S" if step_s < 60 else "%H:%M"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: datetime.fromtimestamp(value, UTC).strftime(form)))
    axes.grid(visible=True, color=GRID, linewidth=0.7)


def _legend(canvas: Canvas, box: Box, panel: Json, frames: Sequence[Frame]) -> float:
    """Draws it at the foot of the panel; its height."""
    options = panel.get("options", {}).get("legend", {})
    if not options.get("showLegend"):
        return 0
    if options.get("displayMode") == "table":
        return _legend_table(canvas, box, panel, frames)
    x, y, lines = box.x + 8, box.y + box.height - 10, 1
    for frame in frames:
        words = canvas.fitted(frame.name, 11, box.width - 40)
        wide = canvas.width_of(words, 11) + 30
        if x + wide > box.x + box.width and x > box.x + 8:
            break  # what does not fit on the line is left out, as in a panel that is scrolled
        canvas.block(Box(x, y - 1, 12, 3), series_colour(panel, frame.name, frames.index(frame)))
        canvas.text(x + 17, y, words, px=11)
        x += wide
    return lines * LINE_PX + 2


def _legend_table(canvas: Canvas, box: Box, panel: Json, frames: Sequence[Frame]) -> float:
    calcs = [calc for calc in panel["options"]["legend"].get("calcs", []) if calc in _TITLES]
    room = max(1, int(box.height * 0.42 / LINE_PX) - 1)
    shown = list(frames)[: min(MOST_IN_LEGEND, room)]
    more = len(frames) - len(shown)
    if more:
        shown, more = shown[:-1], more + 1
    height = (len(shown) + 1 + bool(more)) * LINE_PX
    y = box.y + box.height - height + 2
    edge = box.x + box.width - 8
    for index, calc in enumerate(reversed(calcs)):
        canvas.text(edge - index * CALC_PX, y, _TITLES[calc], px=10, colour=FAINT, at="right")
    for frame in shown:
        y += LINE_PX
        canvas.block(Box(box.x + 8, y - 1, 12, 3), series_colour(panel, frame.name, frames.index(frame)))
        room_px = box.width - 44 - CALC_PX * len(calcs)
        canvas.text(box.x + 25, y, canvas.fitted(frame.name, 11, room_px), px=11)
        field = defaults_of(panel) | properties_of(panel, frame.name)
        for index, calc in enumerate(reversed(calcs)):
            told = written(reduced(frame.values, calc), field.get("unit"), field.get("decimals"))
            canvas.text(edge - index * CALC_PX, y, told, px=11, at="right")
    if more:
        canvas.text(box.x + 25, y + LINE_PX, f"and {more} more", px=10, colour=FAINT)
    return height


def states(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """A bar for each series, coloured by its state over time."""
    frames = frames_of(panel, show.ask)
    if not frames:
        return False
    field = defaults_of(panel)
    most = max(1, int((box.height - 44) // STATE_PX))
    shown = frames[:most]
    left = min(box.width * 0.3, max(canvas.width_of(frame.name, 11) for frame in shown) + 16)
    axes = canvas.axes(box.inner(left=left, right=8, top=4, bottom=40))
    for index, frame in enumerate(shown):
        for began, ended, value in _stretches(frame):
            found = mapped(field, value)
            shade = found[1] if found else threshold_colour(steps_of(field), value)
            axes.barh(-index, ended - began, left=began, height=0.72, color=shade, linewidth=0, alpha=0.9)
    axes.set_ylim(-len(shown) + 0.5, 0.5)
    axes.set_yticks([])
    _time(axes, show)
    axes.grid(visible=False)
    row = (box.height - 44) / len(shown)
    for index, frame in enumerate(shown):
        words = canvas.fitted(frame.name, 11, left - 14)
        canvas.text(box.x + left - 6, box.y + 4 + row * (index + 0.5), words, px=min(11, row * 0.8), at="right")
    _states_legend(canvas, box, field, frames)
    return True


def _stretches(frame: Frame) -> list[tuple[float, float, float]]:
    """From when to when the series had which value."""
    step_s = frame.times[1] - frame.times[0] if len(frame.times) > 1 else 1.0
    found: list[tuple[float, float, float]] = []
    for time, value in zip(frame.times, frame.values, strict=True):
        if math.isnan(value):
            continue
        if found and found[-1][2] == value and time - found[-1][1] < 2 * step_s:
            found[-1] = (found[-1][0], time + step_s, value)
        else:
            found.append((time, time + step_s, value))
    return found


def _states_legend(canvas: Canvas, box: Box, field: Json, frames: Sequence[Frame]) -> None:
    x, y = box.x + 8, box.y + box.height - 10
    for value in sorted({value for frame in frames for value in frame.finite}):
        found = mapped(field, value)
        words = found[0] if found else written(value, field.get("unit"), field.get("decimals"))
        shade = found[1] if found else threshold_colour(steps_of(field), value)
        if x + canvas.width_of(words, 11) + 30 > box.x + box.width:
            return
        canvas.block(Box(x, y - 5, 10, 10), shade)
        canvas.text(x + 15, y, words, px=11)
        x += canvas.width_of(words, 11) + 30


def heatmap(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """How many fell into which bucket when. Each of Prometheus's buckets holds all below it."""
    frames = [frame for frame in frames_of(panel, show.ask) if "le" in frame.labels]
    if not frames:
        return False
    frames.sort(key=lambda frame: float(frame.labels["le"]))
    times = sorted({time for frame in frames for time in frame.times})
    known = [dict(zip(frame.times, frame.values, strict=True)) for frame in frames]
    below = np.array([[column.get(time, np.nan) for time in times] for column in known])
    cells = np.diff(np.nan_to_num(below), axis=0, prepend=0.0)
    cells[cells <= 1e-12] = np.nan
    unit = panel.get("options", {}).get("yAxis", {}).get("unit") or defaults_of(panel).get("unit")
    kept = [index for index in range(len(frames)) if not np.isnan(cells[index]).all()]
    low, high = max(0, kept[0] - 1), min(len(frames), kept[-1] + 2)
    names = [_bound(frame.labels["le"], unit) for frame in frames[low:high]]
    left = max(canvas.width_of(name, 10) for name in names) + 14
    axes = canvas.axes(box.inner(left=left, right=8, top=6, bottom=24))
    edges = np.append(times, times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1))
    axes.pcolormesh(edges, np.arange(high - low + 1), cells[low:high], cmap=_HEAT, linewidth=0, antialiased=False)
    axes.set_yticks(np.arange(1, high - low + 1), names, fontsize=7.2, color=TEXT)
    _time(axes, show)
    axes.grid(visible=False)
    return True


def _bound(bound: str, unit: str | None) -> str:
    value = float(bound)
    return "∞" if math.isinf(value) else written(value, unit)
