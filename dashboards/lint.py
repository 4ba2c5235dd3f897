"""Checks all boards and rules: `python -m dashboards.lint` prints what is wrong, and fails where anything is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dashboards.alerting.groups import GROUPS
from dashboards.boards import BOARDS
from dashboards.building.grafana import as_json
from dashboards.building.values import Source
from dashboards.linting.board import check_board
from dashboards.linting.coverage import uncovered
from dashboards.linting.panel import check_panels
from dashboards.linting.rules import check_group
from dashboards.queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.linting.findings import Finding

RUNBOOK: Final = Path(__file__).resolve().parent.parent / "docs" / "runbook.md"


def findings() -> Iterator[Finding]:
    """Everything that is wrong with anything here."""
    boards: dict[str, dict[str, Any]] = {board.uid: as_json(board) for board in BOARDS}
    for told in boards.values():
        yield from check_board(told, boards)
        yield from check_panels(told)
    sections = runbook_sections()
    for group in GROUPS:
        yield from check_group(group, sections)
    asked = [query.expr for query in queries() if query.source is Source.PROMETHEUS]
    yield from uncovered([*asked, *(rule.expr for group in GROUPS for rule in group.rules)])


def runbook_sections() -> dict[str, str]:
    """The runbook's sections by their anchors, as GitHub makes them."""
    parts = re.split(r"^### (.+)$", RUNBOOK.read_text() if RUNBOOK.is_file() else "", flags=re.MULTILINE)
    sections = zip(parts[1::2], parts[2::2], strict=True)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): text for title, text in sections}


def main() -> int:
    found = sorted(map(str, findings()))
    for line in found:
        sys.stdout.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
