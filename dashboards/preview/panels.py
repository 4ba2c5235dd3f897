"""One panel: its ground, its title, and what its kind draws inside; what cannot be drawn says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dashboards.preview import figures, graphs, logs
from dashboards.preview.looks import FAINT, TEXT, defaults_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboards.preview.canvas import Box, Canvas
    from dashboards.preview.frames import Asks

Json = dict[str, Any]
TITLE_PX: Final = 30


@dataclass(frozen=True, slots=True)
class Show:
    """The time shown, in Unix seconds, and whom to ask."""

    span: tuple[float, float]
    ask: Asks


_KINDS: Final[Mapping[str, Callable[[Canvas, Box, Json, Show], bool]]] = {
    "timeseries": graphs.graph,
    "state-timeline": graphs.states,
    "heatmap": graphs.heatmap,
    "stat": figures.stat,
    "gauge": figures.gauge,
    "bargauge": figures.bars,
    "piechart": figures.pie,
    "table": figures.table,
    "logs": logs.lines,
}


def draw(canvas: Canvas, box: Box, panel: Json, show: Show) -> bool:
    """Draws the panel; False where its queries had no answer."""
    canvas.frame(box)
    canvas.text(
        box.x + 10, box.y + 16, canvas.fitted(panel.get("title", ""), 13, box.width - 20), px=13, at="left bold"
    )
    inside = box.inner(left=2, right=2, top=TITLE_PX, bottom=4)
    if panel["type"] == "text":
        _text(canvas, inside, str(panel["options"].get("content", "")))
        return True
    if _KINDS[panel["type"]](canvas, inside, panel, show):
        return True
    _note(canvas, inside, str(defaults_of(panel).get("noValue") or "No data"))
    return False


def _note(canvas: Canvas, box: Box, words: str) -> None:
    lines = _wrapped(canvas, words, 13, box.width - 24)
    for index, line in enumerate(lines):
        y = box.y + box.height / 2 + (index - (len(lines) - 1) / 2) * 19
        canvas.text(box.x + box.width / 2, y, line, px=13, colour=FAINT, at="center")


def _wrapped(canvas: Canvas, words: str, px: float, width: float) -> list[str]:
    lines, line = [], ""
    for word in words.split():
        if line and canvas.width_of(f"{line} {word}", px) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def _text(canvas: Canvas, box: Box, content: str) -> None:
    """Markdown, read as far as a preview needs."""
    y = box.y + 10
    for paragraph in content.split("\n"):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", paragraph).replace("**", "").replace("`", "").strip("# ")
        for line in _wrapped(canvas, plain, 12, box.width - 24) if plain else ():
            if y > box.y + box.height - 8:
                return
            canvas.text(box.x + 12, y, line, px=12, colour=TEXT)
            y += 18
        y += 0 if plain else 8
