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

from dashboards.preview.kept import SCRAPED_EVERY_S, Answers, again, keep, told
from dashboards.preview.panels import Show
from dashboards.preview.sheet import draw_board
from tests.observed.scene import observed
from tests.observed.traffic import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE: Final = Path(__file__).resolve().parent
BOARDS: Final = HERE.parent / "json"
SEED: Final = 7
CALLS: Final = 1.6  # of those that tests make
TROUBLE: Final = 0.15  # more of a good day than tests want
FIRST_LOOK: Final = "pointsman-overview"


@asynccontextmanager
async def answers(wanted: argparse.Namespace, folder: Path) -> AsyncIterator[Answers]:
    """Of a new run, or of one that was kept."""
    if wanted.again is not None:
        async with again(wanted.again) as kept:
            yield kept
        return
    pace = Pace(wanted.minutes * 60, SEED, CALLS, TROUBLE)
    async with observed(folder, pace, every_s=SCRAPED_EVERY_S) as seen:
        run = told(seen, pace.seconds)
        await asyncio.to_thread(keep, folder, run)
        yield Answers(seen.prometheus, run)


async def draw_all(wanted: argparse.Namespace, folder: Path) -> None:
    async with answers(wanted, folder) as asked:
        for file in sorted(BOARDS.glob("*.json")):
            if wanted.board in file.stem:
                picture = wanted.out / f"{file.stem}.png"
                board = json.loads(file.read_text())
                empty = await asyncio.to_thread(draw_board, board, Show(asked.span, asked), picture)
                if file.stem == FIRST_LOOK:
                    await asyncio.to_thread(
                        draw_board, board, Show(asked.span, asked), wanted.out / f"{file.stem}-first-look.png", 2
                    )
                note = f"; without data: {', '.join(empty)}" if empty else ""
                sys.stdout.write(f"{picture.name}: {picture.stat().st_size // 1024} KiB{note}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboards.preview", description=__doc__)
    parser.add_argument("--minutes", type=float, default=12.0, help="how long the traffic lasts")
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures go")
    parser.add_argument("--board", default="", help="only boards whose uid holds this")
    parser.add_argument("--keep", type=Path, help="an empty folder for what the run leaves")
    parser.add_argument("--again", type=Path, help="a folder that a run was kept in: draw without another run")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = wanted.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(draw_all(wanted, folder))


if __name__ == "__main__":
    main()
