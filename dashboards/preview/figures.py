"""Panels of single numbers: stats, gauges, bars, pies; and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import Wedge

from dashboards.preview.canvas import Box
from dashboards.preview.frames import Frame, frames_of, reduced, rows_of
from dashboards.preview.looks import (
    BORDER,
    FAINT,
    GRID,
    PANEL,
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

    from dashboards.preview.canvas import Canvas
    from dashboards.preview.panels import Show

Json = dict[str, Any]
ROW_PX: Final = 26
BAR_ROW_PX: Final = 34
LARGEST_PX: Final = 34


def _reduced(panel: Json, frame: Frame) -> float:
    calcs = panel.get("options", {}).get("reduceOptions", {}).get("calcs") or ["lastNotNull"]
    return reduced(frame.values, calcs[0])


def _told(panel: Json, name: str, value: float) -> tuple[str, str]:
    """The text and colour of one number."""
    field = defaults_of(panel) | properties_of(panel, name)
    found = mapped(field, value)
    if found is not None:
        return found
    shade = properties_of(panel, name).get("color", {}).get("fixedColor")
    text = written(value, field.get("unit"), field.get("decimals"))
    return text, colour(shade) if shade else threshold_colour(steps_of(field), value)


def stat(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """Large numbers side by side, each with its trend behind it."""
    frames = frames_of(panel, show.ask)
    if not frames:
        return False
    named = len(frames) > 1 or panel["options"].get("textMode") == "value_and_name"
    width = box.width / len(frames)
    for index, frame in enumerate(frames):
        place = Box(box.x + index * width, box.y, width, box.height)
        _one_stat(canvas, place, panel, frame, named=named)
    return True


def _one_stat(canvas: Canvas, box: Box, panel: Json, frame: Frame, *, named: bool) -> None:
    text, shade = _told(panel, frame.name, _reduced(panel, frame))
    if panel["options"].get("graphMode") == "area" and len(frame.finite) > 2:
        axes = canvas.axes(box.inner(left=2, right=2, top=box.height * 0.6, bottom=2))
        axes.plot(frame.times, frame.values, color=shade, linewidth=1.0)
        axes.fill_between(frame.times, min(0.0, *frame.finite), frame.values, color=shade, alpha=0.18, linewidth=0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlim(frame.times[0], frame.times[-1])
    px = float(LARGEST_PX)
    while px > 13 and canvas.width_of(text, px, bold=True) > box.width - 16:
        px -= 1
    middle = box.y + box.height * (0.42 if not named else 0.5)
    if named:
        words = canvas.fitted(frame.name, 12, box.width - 8)
        canvas.text(box.x + box.width / 2, box.y + box.height * 0.2, words, px=12, colour=TEXT, at="center")
    canvas.text(box.x + box.width / 2, middle, text, px=px, colour=shade, at="center bold")


def gauge(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """An arc from least to most, with the thresholds around it."""
    frames = frames_of(panel, show.ask)
    if not frames:
        return False
    width = box.width / len(frames)
    for index, frame in enumerate(frames):
        _arc(canvas, Box(box.x + index * width, box.y, width, box.height), panel, frame)
    return True


def _arc(canvas: Canvas, box: Box, panel: Json, frame: Frame) -> None:
    field, value = defaults_of(panel), _reduced(panel, frame)
    low = field.get("min") or 0.0
    high = (
        field["max"] if field.get("max") is not None else 1.0 if field.get("unit") == "percentunit" else max(value, 1.0)
    )
    text, shade = _told(panel, frame.name, value)
    axes = canvas.axes(box.inner(left=4, right=4, top=4, bottom=4))
    axes.set_xlim(-1.2, 1.2)
    axes.set_ylim(-0.35, 1.15)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])

    def angle(at: float) -> float:
        return 180 - 180 * min(1.0, max(0.0, (at - low) / (high - low)))

    axes.add_patch(Wedge((0, 0), 0.92, 0, 180, width=0.24, color=GRID))
    axes.add_patch(Wedge((0, 0), 0.92, angle(value), 180, width=0.24, color=shade))
    bounds = [step["value"] if step.get("value") is not None else low for step in steps_of(field)]
    for step, began, ended in zip(steps_of(field), bounds, [*bounds[1:], high], strict=True):
        if began < high:
            axes.add_patch(Wedge((0, 0), 1.0, angle(ended), angle(began), width=0.05, color=colour(step["color"])))
    axes.text(0, 0.08, text.replace("$", r"\$"), ha="center", va="center", color=shade, fontsize=15, fontweight="bold")
    axes.text(0, -0.22, canvas.fitted(frame.name, 11, box.width - 8), ha="center", va="center", color=FAINT, fontsize=8)


def bars(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """A bar for each series, longest first as the query gives them, its number at its end."""
    frames = frames_of(panel, show.ask)
    if not frames:
        return False
    field = defaults_of(panel)
    values = {id(frame): _reduced(panel, frame) for frame in frames}
    most = field["max"] if field.get("max") is not None else max(*values.values(), 1e-12)
    shown = frames[: max(1, int(box.height // BAR_ROW_PX))]
    row = min(46.0, box.height / len(shown))
    told = {id(frame): _told(panel, frame.name, values[id(frame)]) for frame in shown}
    right = max(canvas.width_of(text, 12, bold=True) for text, _ in told.values()) + 14
    left = min(box.width * 0.4, max(canvas.width_of(frame.name, 12) for frame in shown) + 14)
    for index, frame in enumerate(shown):
        text, shade = told[id(frame)]
        y = box.y + row * index
        room = box.width - left - right
        part = min(1.0, max(0.0, values[id(frame)] / most))
        canvas.text(box.x + left - 8, y + row / 2, canvas.fitted(frame.name, 12, left - 12), px=12, at="right")
        canvas.block(Box(box.x + left, y + row * 0.2, room, row * 0.6), GRID)
        canvas.block(Box(box.x + left, y + row * 0.2, max(2.0, room * part), row * 0.6), shade)
        canvas.text(box.x + box.width - 6, y + row / 2, text, px=12, colour=shade, at="right bold")
    return True


def pie(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """A ring, and beside it what its parts are."""
    found = [(frame, _reduced(panel, frame)) for frame in frames_of(panel, show.ask)]
    parts = sorted(((frame, value) for frame, value in found if value > 0), key=lambda pair: -pair[1])
    if not parts:
        return False
    total = sum(value for _, value in parts)
    size = min(box.height, box.width * 0.45) - 8
    axes = canvas.axes(Box(box.x + 6, box.y + (box.height - size) / 2, size, size))
    shades = [series_colour(panel, frame.name, index) for index, (frame, _) in enumerate(parts)]
    axes.pie(
        [value for _, value in parts], colors=shades, startangle=90, counterclock=False,
        wedgeprops={"width": 0.42, "edgecolor": PANEL, "linewidth": 1.2},
    )  # fmt: skip
    x, edge = box.x + size + 20, box.x + box.width - 8
    lines = parts[: max(1, int(box.height // 18))]
    y = box.y + (box.height - len(lines) * 18) / 2 + 9
    for shade, (frame, value) in zip(shades, lines, strict=False):
        text = written(value, defaults_of(panel).get("unit"), defaults_of(panel).get("decimals"))
        canvas.block(Box(x, y - 5, 10, 10), shade)
        canvas.text(x + 15, y, canvas.fitted(frame.name, 11, edge - x - 145), px=11)
        canvas.text(edge - 52, y, text, px=11, at="right")
        canvas.text(edge, y, f"{value / total:.0%}", px=11, colour=FAINT, at="right")
        y += 18
    return True


def table(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """Rows under headings, in the order that the panel's transformations ask for."""
    rows = rows_of(panel, show.ask)
    if not rows:
        return False
    columns = _columns(panel, rows)
    for sort in panel.get("options", {}).get("sortBy", ()):
        name = next((source for source, title in columns if title == sort["displayName"]), None)
        if name is not None:
            rows.sort(key=lambda row: _sortable(row.get(name)), reverse=bool(sort.get("desc")))
    widths = _widths(panel, columns, box.width - 8)
    shown = rows[: max(1, int((box.height - ROW_PX) // ROW_PX))]
    x = box.x + 4
    for (source, title), width in zip(columns, widths, strict=True):
        _column(canvas, Box(x, box.y, width, box.height), (panel, source, title), shown)
        x += width
    for index in range(len(shown) + 1):
        canvas.block(Box(box.x + 4, box.y + ROW_PX * (index + 1) - 1, box.width - 8, 1), BORDER)
    return True


def _sortable(value: Any) -> tuple[int, float, str]:  # noqa: ANN401 - a cell is a number or a text
    if isinstance(value, float):
        return (1, -math.inf if math.isnan(value) else value, "")
    return (0, 0.0, str(value))


def _columns(panel: Json, rows: Sequence[Json]) -> list[tuple[str, str]]:
    """Each column's name in the rows and its title."""
    for step in panel.get("transformations") or ():
        if step["id"] == "organize":
            order, titles = step["options"].get("indexByName", {}), step["options"].get("renameByName", {})
            wanted = step["options"].get("includeByName") or order
            names = sorted(wanted, key=lambda name: order.get(name, 99))
            return [(name, titles.get(name) or name) for name in names]
    return [(name, name) for name in rows[0]]


def _widths(panel: Json, columns: Sequence[tuple[str, str]], room: float) -> list[float]:
    asked = [properties_of(panel, title).get("custom.width") for _, title in columns]
    given = sum(width for width in asked if width)
    rest = [width for width in asked if not width]
    each = (room - given) / len(rest) if rest else 0.0
    if each < 50 or not rest:
        return [room / len(columns)] * len(columns)
    return [width or each for width in asked]


def _column(canvas: Canvas, box: Box, what: tuple[Json, str, str], rows: Sequence[Json]) -> None:
    panel, source, title = what
    own = properties_of(panel, title)
    field = defaults_of(panel) | own
    is_number = any(isinstance(row.get(source), float) for row in rows)
    side, x = ("right", box.x + box.width - 10) if is_number else ("left", box.x + 6)
    canvas.text(
        x, box.y + ROW_PX / 2, canvas.fitted(title, 11, box.width - 12), px=11, colour="#6e9fff", at=f"{side} bold"
    )
    is_bar = own.get("custom.cellOptions", {}).get("type") == "gauge"
    numbers = [row[source] for row in rows if isinstance(row.get(source), float) and math.isfinite(row[source])]
    most = max(numbers, default=1.0) or 1.0
    most = field["max"] if field.get("max") is not None else most
    for index, row in enumerate(rows):
        value = row.get(source)
        y = box.y + ROW_PX * (index + 1.5)
        if not isinstance(value, float):
            canvas.text(x, y, canvas.fitted(str(value or ""), 12, box.width - 12), px=12, at=side)
            continue
        shade = threshold_colour(own["thresholds"]["steps"], value) if "thresholds" in own else TEXT
        found = mapped(field, value)
        words, shade = found or (written(value, field.get("unit"), field.get("decimals")), shade)
        if is_bar and math.isfinite(value):
            text_px = canvas.width_of(words, 12) + 18
            part = float(np.clip(value / most, 0, 1))
            room = max(0.0, box.width - text_px - 8)
            canvas.block(Box(box.x + 6, y - 8, room, 16), GRID)
            canvas.block(Box(box.x + 6, y - 8, room * part, 16), shade if shade != TEXT else colour("blue"))
        canvas.text(x, y, words, px=12, colour=shade, at=side)
