"""A panel of log lines, the newest first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dashboards.preview.canvas import Box
from dashboards.preview.looks import FAINT, TEXT, colour

if TYPE_CHECKING:
    from dashboards.preview.canvas import Canvas
    from dashboards.preview.panels import Show

LINE_PX: Final = 19
TEXT_PX: Final = 11
_LEVELS: Final = {"info": "green", "warning": "yellow", "error": "red", "critical": "purple"}


def lines(canvas: Canvas, box: Box, panel: dict[str, Any], show: Show) -> bool:
    """As many whole lines as there is room for, cut at the edge; False where there are none."""
    found = [one for target in panel["targets"] for one in show.ask.lines(target)]
    found.sort(key=lambda one: -one.time_s)
    y = box.y + LINE_PX / 2
    for one in found[: int(box.height // LINE_PX)]:
        at = f"{datetime.fromtimestamp(one.time_s, UTC):%H:%M:%S.%f}"[:-3]
        canvas.block(Box(box.x + 8, y - 7, 3, 14), colour(_LEVELS.get(str(one.line.get("level")))))
        canvas.text(box.x + 18, y, at, px=TEXT_PX, colour=FAINT)
        words = json.dumps(one.line, ensure_ascii=False, separators=(",", ":"))
        canvas.text(box.x + 108, y, canvas.fitted(words, TEXT_PX, box.width - 120), px=TEXT_PX, colour=TEXT)
        y += LINE_PX
    return bool(found)
