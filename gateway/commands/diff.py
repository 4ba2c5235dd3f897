"""`pointsman diff A B`: what changes for whom when B takes the place of A."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.commands.asked_policy import policy_of
from gateway.explaining.differences import SHAPES, changes
from gateway.explaining.rehearsal import Rehearsal
from gateway.explaining.standing import standing

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.explaining.differences import Change

SAME: Final = 0
DIFFERENT: Final = 1
REFUSED: Final = 2
NAMES_MAX: Final = 8


def run(before: Path, after: Path, *, as_json: bool) -> int:
    """0 where nothing changes for anybody, 1 where something does, 2 where a file is wrong."""
    old, new = policy_of(before), policy_of(after)
    if old is None or new is None:
        return REFUSED
    sides = Rehearsal(old), Rehearsal(new)
    found, lines = asyncio.run(changes(*sides)), standing(*sides)
    if as_json:
        told = {"standing": lines, "changes": [change._asdict() for change in found]}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        for change in found:
            sys.stdout.write(f"{change.what}\n    {_whom(change)}\n")
        if not found and not lines:
            sys.stdout.write("nothing changes for anybody\n")
    return DIFFERENT if found or lines else SAME


def _whom(change: Change) -> str:
    shapes = "" if len(change.shapes) == len(SHAPES) else f", {_some(change.shapes)} requests only"
    return f"for {_some(change.keys)} asking for {_some(change.models)}{shapes}"


def _some(names: tuple[str, ...]) -> str:
    left_out = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {left_out} more" if left_out > 0 else "")
