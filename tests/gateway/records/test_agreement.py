from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.records.agreement import CountedRows, watch_agreement
from gateway.signals import telemetry
from gateway.signals.metrics import Registry
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import FREE_OF_PRICE, answered, attempt, call
from tests.gateway.records.test_recorder import Heard
from tests.gateway.state.ledger_rows import a_hit, a_row, unpriced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Call
    from gateway.state.ledger.schema import LedgerRow

NAME = "pointsman_ledger_metric_difference_usd"


class Kept:
    def __init__(self) -> None:
        self.rows: list[LedgerRow] = []

    def append(self, rows: Sequence[LedgerRow]) -> None:
        self.rows += rows


def difference(registry: Registry) -> float:
    ((_, value),) = next(one.values for one in registry.snapshot() if one.family.name == NAME)
    assert isinstance(value, int)
    return value


def a_mixed_day() -> list[Call]:
    lost = Failure(FailureKind.TRUNCATED, maybe_billed=True)
    refused = attempt(number=1, failure=Failure(FailureKind.STATUS, status=503), sent=False)
    return [
        *(answered() for _ in range(3)),
        call(attempt(failure=lost, text=("a b",)), status=200, error_code="upstream_incomplete"),
        call(attempt(cancelled=True, text=("a b c",)), status=200, cancelled=True),
        call(refused, attempt(Usage(7, 3), number=2)),
        call(attempt(Usage(7, 3), deployment=FREE_OF_PRICE)),
        call(attempt(Usage(50, 50, estimated=True))),
        call(status=401, error_code="invalid_api_key", principal=None),
    ]


async def test_the_books_of_all_kinds_of_calls_agree() -> None:
    heard = Heard()
    rows = heard.recorder._sinks.ledger
    counted = CountedRows(rows)
    heard.recorder._sinks = replace(heard.recorder._sinks, ledger=counted)
    watch_agreement(heard.registry, counted)
    heard.recorder.start()
    for one in a_mixed_day():
        heard.recorder.record(one)
    await heard.recorder.close()
    assert counted.charged_nanousd == sum(row.cost_nanousd or 0 for row in heard.rows) > 0
    assert difference(heard.registry) == 0


@pytest.mark.parametrize(("charged", "off"), [(350, 0), (351, 1), (0, 350)])
def test_what_only_one_of_them_knows_is_told(charged: int, off: int) -> None:
    registry, kept = Registry(), Kept()
    counted = CountedRows(kept)
    watch_agreement(registry, counted)
    counted.append([a_row(), unpriced(a_row("req_2")), a_hit(a_row("req_3"))])
    registry.cells(telemetry.COST).at("p", "d", "m", "input", "table").inc(charged)
    assert len(kept.rows) == 3
    assert difference(registry) == off
