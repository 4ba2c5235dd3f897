"""Every board against Grafana's own types: a misspelt member or a wrong kind of value is found without a Grafana."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.linting.findings import panels
from dashboards.write import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TYPES = HERE.parent / "tests" / "grafana"
TSC = TYPES / "node_modules" / ".bin" / "tsc"
NODE = HERE.parent / ".venv-clients" / "bin"
OF_PANELS = "@grafana/schema/dist/esm/raw/composable/{folder}/panelcfg/x/{name}PanelCfg_types.gen"
KINDS = {
    "timeseries": "TimeSeries",
    "stat": "Stat",
    "bargauge": "BarGauge",
    "piechart": "PieChart",
    "table": "Table",
    "heatmap": "Heatmap",
    "state-timeline": "StateTimeline",
    "logs": "Logs",
}
WITH_CUSTOM = frozenset({"timeseries", "piechart", "table", "heatmap", "state-timeline"})
BOARDS = sorted((HERE / "json").glob("*.json"))
needs_types = pytest.mark.skipif(not TSC.exists(), reason="`make test` installs Grafana's types")


def program(board: dict[str, Any]) -> Iterator[str]:
    """TypeScript in which the board, and each panel's options and fields, are constants of Grafana's types."""
    yield "import type { Board, Plain } from './plain';"
    for kind, name in KINDS.items():
        source = OF_PANELS.format(folder=kind.replace("-", ""), name=name)
        yield f"import type * as {name} from '{source}';"
    yield f"export const board: Board = {json.dumps(board)};"
    for number, panel in enumerate(panels(board)):
        name = KINDS[panel["type"]]
        yield f"export const options{number}: Plain<{name}.Options> = {json.dumps(panel['options'])};"
        custom = panel["fieldConfig"]["defaults"].get("custom")
        if custom is not None and panel["type"] in WITH_CUSTOM:
            yield f"export const custom{number}: Plain<{name}.FieldConfig> = {json.dumps(custom)};"


def compiled(folder: Path, board: dict[str, Any]) -> str:
    """What the compiler says of a board; nothing where it is right."""
    for name in ("plain.d.ts", "tsconfig.json"):
        shutil.copy(TYPES / name, folder)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(TYPES / "node_modules")
    (folder / "board.ts").write_text("\n".join(program(board)))
    words = [str(TSC), "--project", str(folder)]
    path = f"{NODE}:{os.environ['PATH']}"
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, env={"PATH": path}, cwd=folder
    )
    return done.stdout + done.stderr


@needs_types
@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_is_what_grafana_reads(path: Path, tmp_path: Path) -> None:
    assert compiled(tmp_path, json.loads(path.read_text())) == ""


@needs_types
@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schemaVersion",), 41),
        (("refreshed",), "30s"),
        (("graphTooltip",), "crosshair"),
        (("templating", "list", 0, "auto"), True),
        (("annotations", "list", 0, "colour"), "blue"),
        (("panels", 1, "gridpos"), {}),
        (("panels", 1, "options", "graphmode"), "area"),
        (("panels", 1, "options", "colorMode"), "red"),
        (("panels", 1, "fieldConfig", "defaults", "decimals"), "2"),
    ],
)
def test_a_wrong_member_is_found(where: tuple[str | int, ...], value: object, tmp_path: Path) -> None:
    board = json.loads((HERE / "json" / "pointsman-overview.json").read_text())
    inner = board
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    assert "error TS" in compiled(tmp_path, board)
