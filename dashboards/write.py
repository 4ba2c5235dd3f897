"""Writes the boards, the rules and the alerts of Grafana: `python -m dashboards.write`, with `--check` only looks.

The same code writes the same bytes; what is in the tree and not written here any more is removed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from dashboards.alerting.grafana import alerting_text
from dashboards.alerting.groups import GROUPS
from dashboards.alerting.prometheus import rules_text
from dashboards.boards import BOARDS
from dashboards.building.grafana import written

HERE: Final = Path(__file__).resolve().parent


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    boards = {HERE / "json" / f"{board.uid}.json": written(board) for board in BOARDS}
    rules = {HERE / "rules" / f"{group.name.removeprefix('pointsman-')}.yml": rules_text(group) for group in GROUPS}
    return boards | rules | {HERE / "provisioning" / "alerting" / "pointsman.yml": alerting_text(GROUPS, BOARDS)}


def stale(wanted: dict[Path, str]) -> list[Path]:
    """Files that are not there, are there in another form, or are there and should not."""
    differing = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    return differing + [path for folder in _folders(wanted) for path in folder.iterdir() if path not in wanted]


def _folders(wanted: dict[Path, str]) -> list[Path]:
    """Folders in which nothing lies that is not generated."""
    return sorted({path.parent for path in wanted if path.parent.is_dir()})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not up to date")
    told = parser.parse_args(arguments)
    wanted = files()
    found = stale(wanted)
    if told.check:
        for path in found:
            sys.stderr.write(f"{path.relative_to(HERE.parent)} is not what the code says; write it: make dashboards\n")
        return 1 if found else 0
    for path in found:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
