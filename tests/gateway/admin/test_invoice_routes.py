from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.state.ledger.sql import append
from tests.gateway.admin.listening import listening
from tests.gateway.state.ledger_rows import a_row

if TYPE_CHECKING:
    from pathlib import Path

INVOICES = "/admin/v1/invoices"


async def test_an_invoice_is_kept_and_stands_beside_the_ledger(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        await append(here.gateway.keys.database, [a_row("one"), a_row("two")])
        body = {"provider": "openai", "month": "2026-11", "nanousd": 1400}
        told = await here.ask("PUT", INVOICES, body)
        assert (told.status, told.body["ledger_nanousd"], told.body["ratio"]) == (200, 700, 0.5)
        assert (await here.ask("PUT", INVOICES, body | {"nanousd": 700})).body["ratio"] == 1.0
        shown = (await here.ask("GET", INVOICES)).body["invoices"]
        assert [(one["invoice"]["nanousd"], one["ratio"]) for one in shown] == [(700, 1.0)]
        metrics = (await here.ask("GET", "/metrics")).body
        assert 'pointsman_spend_capture_ratio{provider="openai"} 1.0' in str(metrics)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"provider": "openai", "nanousd": 1}, "month"),
        ({"provider": "openai", "nanousd": 1, "since": "2026-11-01"}, "month"),
        ({"provider": "openai", "nanousd": 1, "month": "2026-13"}, "month"),
        ({"provider": "openai", "nanousd": -1, "month": "2026-11"}, "nanousd"),
        ({"provider": "a b", "nanousd": 1, "month": "2026-11"}, "provider"),
        ({"provider": "openai", "nanousd": 1, "since": "2026-11-02", "until": "2026-11-01"}, "until"),
        ({"provider": "openai", "nanousd": 1, "month": "2026-11", "since": "2026-11-02"}, "month"),
    ],
)
async def test_what_is_no_invoice_is_refused(tmp_path: Path, body: dict[str, Any], param: str) -> None:
    async with listening(tmp_path) as here:
        told = await here.ask("PUT", INVOICES, body)
    assert (told.status, told.body["error"]["param"]) == (400, param)
