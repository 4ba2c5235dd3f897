"""What a check has to say, and how a board's JSON is walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
TEXT_ONLY: Final = frozenset({"row", "text"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the rule that says so, where, and what."""

    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.rule})"


def panels(board: Json) -> Iterator[Json]:
    """Every panel but rows, those inside folded rows too."""
    for panel in every_panel(board):
        if panel.get("type") != "row":
            yield panel


def every_panel(board: Json) -> Iterator[Json]:
    for panel in board.get("panels", ()):
        yield panel
        yield from panel.get("panels", ())


def variables(board: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in board.get("templating", {}).get("list", ())}


def place(board: Json, panel: Json | None = None) -> str:
    return board.get("uid", "?") if panel is None else f"{board.get('uid', '?')} / {panel.get('title') or '?'}"
