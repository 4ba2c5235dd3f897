"""Draws a picture of every board: `python -m dashboards.preview`, or `make previews`.

Real gateways serve made-up traffic for some minutes while a real Prometheus scrapes them; each panel's queries are then
asked of that Prometheus and drawn in the board's layout. `--keep FOLDER` leaves the Prometheus's data there, and
`--again FOLDER` draws from it once more without a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards.preview.panels import Show
from dashboards.preview.sheet import draw_board
from tests.observed.asking import written_out
from tests.observed.prometheus_server import prometheus
from tests.observed.scene import observed
from tests.observed.traffic import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.observed.prometheus_server import Prometheus, Series

HERE: Final = Path(__file__).resolve().parent
BOARDS: Final = HERE.parent / "json"
SEED: Final = 7
SCRAPED_EVERY_S: Final = 5.0
POINTS: Final = 300
SPAN: Final = "span.json"


class Asking:
    """Puts questions to a Prometheus as Grafana would over this time."""

    def __init__(self, server: Prometheus, span: tuple[float, float]) -> None:
        self._server = server
        self.span = span

    def __call__(self, expr: str, *, instant: bool) -> list[Series]:
        start_s, end_s = self.span
        text = written_out(expr, end_s - start_s, rate_interval_s=round(4 * SCRAPED_EVERY_S))
        if instant:
            return self._server.instant(text, end_s)
        step_s = max(1.0, (end_s - start_s) / POINTS)
        return self._server.ranged(text, start_s, end_s, step_s)


@asynccontextmanager
async def watched(told: argparse.Namespace, folder: Path) -> AsyncIterator[tuple[Prometheus, tuple[float, float]]]:
    """A Prometheus and the time to be shown, of a new run or of one that was kept."""
    if told.again is not None:
        span = json.loads((told.again / SPAN).read_text())
        async with prometheus(told.again) as server:
            yield server, (span[0], span[1])
        return
    async with observed(folder, Pace(told.minutes * 60, SEED), every_s=SCRAPED_EVERY_S) as seen:
        span = (seen.start_s, seen.end_s)
        await asyncio.to_thread((folder / SPAN).write_text, json.dumps(span))
        yield seen.prometheus, span


async def draw_all(told: argparse.Namespace, folder: Path) -> None:
    async with watched(told, folder) as (server, span):
        show = Show(span, Asking(server, span))
        for file in sorted(BOARDS.glob("*.json")):
            if told.board in file.stem:
                picture = told.out / f"{file.stem}.png"
                empty = await asyncio.to_thread(draw_board, json.loads(file.read_text()), show, picture)
                note = f"; without data: {', '.join(empty)}" if empty else ""
                sys.stdout.write(f"{picture.name}: {picture.stat().st_size // 1024} KiB{note}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboards.preview", description=__doc__)
    parser.add_argument("--minutes", type=float, default=12.0, help="how long the traffic lasts")
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures go")
    parser.add_argument("--board", default="", help="only boards whose uid holds this")
    parser.add_argument("--keep", type=Path, help="an empty folder for what the run leaves")
    parser.add_argument("--again", type=Path, help="a folder that a run was kept in: draw without another run")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = told.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(draw_all(told, folder))


if __name__ == "__main__":
    main()
