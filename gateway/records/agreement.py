"""Whether the two books of this process agree: what its counters say was charged, and the rows that the ledger got.

Both are made of the same settlements, by different code; whoever reads only one of them should know that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.signals import ledger_telemetry, telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.records.recorder import Rows
    from gateway.signals.metrics import Registry
    from gateway.state.ledger.schema import LedgerRow


class CountedRows:
    """Rows on their way into the ledger, their costs added up."""

    def __init__(self, ledger: Rows) -> None:
        self.charged_nanousd = 0
        self._ledger = ledger

    def append(self, rows: Sequence[LedgerRow]) -> None:
        for row in rows:
            if row.cost_nanousd:
                self.charged_nanousd += row.cost_nanousd
        self._ledger.append(rows)


def watch_agreement(registry: Registry, rows: CountedRows) -> None:
    """Let scrapes compare the books. No calls are settled halfway between the two."""
    counters = registry.cells(telemetry.COST)

    def difference() -> int:
        return abs(sum(cell.value for cell in counters.children.values()) - rows.charged_nanousd)

    registry.sample(ledger_telemetry.LEDGER_DIFFERENCE, lambda: [((), difference())])
