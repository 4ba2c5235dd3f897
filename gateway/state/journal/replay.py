"""Reads back what a process left in its journal: every outcome, and every intent that no outcome came for.

What cannot be read is never passed over in silence: it is counted, told of once, and its segment is kept beside.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.state.journal.frames import HEADING, DamagedSegment, ForeignSegment, Kind, body_of, frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.state.journal.journal import AttemptKey, Extent
    from gateway.state.journal.slots import Slot
    from gateway.state.ledger.schema import LedgerRow

log = logging.getLogger(__name__)

DAMAGED: Final = ".damaged"


class Replay:
    """What some segments hold, oldest first. The counts are complete once `rows` has been read to its end."""

    def __init__(self, segments: Sequence[Path]) -> None:
        self.outcomes = 0
        self.unknown = 0
        self.damaged_bytes = 0
        self._segments = segments
        self._damaged: list[Path] = []
        self._foreign: list[Path] = []

    def rows(self) -> Iterator[LedgerRow]:
        """Outcomes as they were written, then the intents that were left open."""
        waiting: dict[AttemptKey, LedgerRow] = {}
        for path in self._segments:
            for kind, row in self._frames_of(path):
                key = (row.request_id, row.attempt)
                if kind is Kind.INTENT:
                    waiting[key] = row
                else:
                    waiting.pop(key, None)
                    self.outcomes += 1
                    yield row
        self.unknown = len(waiting)
        yield from waiting.values()

    def discard(self) -> None:
        """Delete the segments, once their rows are safe elsewhere; what could not be read is kept for people."""
        for path in self._segments:
            if path in self._damaged:
                path.replace(path.with_suffix(DAMAGED))
            elif path not in self._foreign:
                path.unlink(missing_ok=True)

    def _frames_of(self, path: Path) -> Iterator[tuple[Kind, LedgerRow]]:
        data = b""
        try:
            data = path.read_bytes()
            yield from frames(body_of(data))
        except DamagedSegment as found:
            lost = len(data) - len(HEADING) - found.position
            self.damaged_bytes += lost
            self._damaged.append(path)
            log.error(  # noqa: TRY400 - the disk's fault, not the code's
                "the journal %s is damaged: its last %d bytes cannot be read and are kept", path, lost
            )
        except (ForeignSegment, OSError) as found:
            self._foreign.append(path)
            log.error("the journal %s is left alone: %s", path, found)  # noqa: TRY400 - as above


def rows_of(slot: Slot, extent: Extent) -> list[LedgerRow]:
    """The outcomes in one stretch of a segment, as many of them as can be read."""
    with slot.path_of(extent.segment).open("rb") as file:
        file.seek(extent.start)
        data = file.read(extent.end - extent.start)
    found: list[LedgerRow] = []
    with suppress(DamagedSegment):  # the ledger compares what it gets with the extent's rows
        found.extend(row for kind, row in frames(data) if kind is Kind.OUTCOME)
    return found
