"""A sheet to draw on, measured in pixels from the top left as Grafana's layout is."""

from __future__ import annotations

import bisect
import io
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from dashboards.preview.looks import BORDER, CANVAS, FAINT, PANEL, TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

DPI = 100
POINT_PX = 72 / DPI
COLOURS = 128


class Box(NamedTuple):
    """A place on the sheet."""

    x: float
    y: float
    width: float
    height: float

    def inner(self, *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Box:
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


class Canvas:
    """One picture. Text is drawn in whole pixels of height."""

    def __init__(self, width: int, height: int) -> None:
        mpl.rcParams["font.family"] = "DejaVu Sans"
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=CANVAS)
        FigureCanvasAgg(self.figure)
        self._renderer = self.figure.canvas.get_renderer()  # type: ignore[attr-defined]  # the Agg canvas has one
        self._widths: dict[tuple[str, float, bool], float] = {}

    def axes(self, box: Box) -> Axes:
        """Axes that fill the box, without frame or ticks."""
        place = (box.x / self.width, 1 - (box.y + box.height) / self.height)
        made = self.figure.add_axes((*place, box.width / self.width, box.height / self.height))
        made.set_facecolor("none")
        for side in made.spines.values():
            side.set_visible(False)
        made.tick_params(length=0, labelsize=11 * POINT_PX, colors=FAINT, pad=3)
        return made

    def text(  # noqa: PLR0913 - what a text looks like
        self, x: float, y: float, words: str, *, px: float = 12, colour: str = TEXT, at: str = "left"
    ) -> None:
        """Words whose middle is at height `y`; `at` is which end of them is at `x`, with `bold` behind it or not."""
        side, _, weight = at.partition(" ")
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            words.replace("$", r"\$"),
            fontsize=px * POINT_PX,
            color=colour,
            ha=side,
            va="center_baseline",
            fontweight=weight or "normal",
        )

    def width_of(self, words: str, px: float, *, bold: bool = False) -> float:
        key = (words, px, bold)
        if key not in self._widths:
            made = self.figure.text(
                0, 0, words.replace("$", r"\$"), fontsize=px * POINT_PX, fontweight="bold" if bold else "normal"
            )
            self._widths[key] = made.get_window_extent(self._renderer).width
            made.remove()
        return self._widths[key]

    def fitted(self, words: str, px: float, width: float) -> str:
        """The words, cut where they would not fit."""
        words = words[: int(width / px * 3)]  # no letter is narrower than a third of its height
        if self.width_of(words, px) <= width:
            return words
        fits = bisect.bisect_left(range(len(words)), True, key=lambda end: self.width_of(words[:end] + "…", px) > width)
        return words[: max(0, fits - 1)] + "…"

    def block(self, box: Box, colour: str) -> None:
        place = (box.x / self.width, 1 - (box.y + box.height) / self.height)
        self.figure.add_artist(
            Rectangle(place, box.width / self.width, box.height / self.height, facecolor=colour, linewidth=0, zorder=-1)
        )

    def frame(self, box: Box) -> None:
        """A panel's ground and edge."""
        place = (box.x, self.height - box.y - box.height)
        self.figure.add_artist(
            FancyBboxPatch(
                place, box.width, box.height, boxstyle="round,pad=0,rounding_size=3", facecolor=PANEL,
                edgecolor=BORDER, linewidth=0.8, transform=None, zorder=-2,
            )
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """As PNG of few colours, which is a third of the size."""
        told = io.BytesIO()
        self.figure.savefig(told, format="png", facecolor=CANVAS)
        picture = Image.open(told).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        picture.save(path, optimize=True)
