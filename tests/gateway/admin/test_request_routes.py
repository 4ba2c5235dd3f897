from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.database import DatabaseUnavailable
from gateway.state.ledger.prices import rates_of
from gateway.state.ledger.sql import append
from policies.usage import Usage
from tests.gateway.admin.listening import listening
from tests.gateway.calls import PRICE, answered, call

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gateway.call import Call
    from tests.gateway.admin.listening import Listening

REQUESTS = "/admin/v1/requests"


async def write(here: Listening, made: Call) -> None:
    database = here.gateway.keys.database
    await append(database, ledger_rows(settle(made)), [(PRICE.id, rates_of(PRICE), 7)])


async def test_an_old_call_is_told_out_of_the_ledger_and_a_recent_one_of_both(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        old, recent = answered(Usage(100, 10)), answered(Usage(200, 20))
        await write(here, old)
        await write(here, recent)
        here.gateway.reporting.decisions.add(recent, ledger_rows(settle(recent)), "ok")
        told = [(await here.ask("GET", f"{REQUESTS}/{one.id}")).body for one in (old, recent)]
        assert [one["cost_nanousd"] for one in told] == [350_000, 700_000]
        assert [one["attempts"][0]["lines"][0]["quantity"] for one in told] == [100, 200]
        assert "decision" not in told[0]
        assert told[0]["unknown"]
        assert told[1]["decision"]["request_id"] == recent.id
        assert "unknown" not in told[1]


async def test_a_recent_call_is_told_while_the_ledger_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise DatabaseUnavailable("it is away")

    async with listening(tmp_path) as here:
        recent, lost = answered(Usage(100, 10)), call()
        here.gateway.reporting.decisions.add(recent, ledger_rows(settle(recent)), "ok")
        monkeypatch.setattr(here.gateway.keys.database, "read", away)
        told = (await here.ask("GET", f"{REQUESTS}/{recent.id}")).body
        refused = await here.ask("GET", f"{REQUESTS}/{lost.id}")
        monkeypatch.undo()
    assert told["cost_nanousd"] == 350_000
    assert told["unknown"] == ["what the ledger has of it: it cannot be asked now"]
    assert (refused.status, refused.code) == (503, "database_unavailable")


async def test_a_call_that_nobody_knows_is_not_found(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        told = await here.ask("GET", f"{REQUESTS}/req_{0:028x}")
        assert (told.status, told.code) == (404, "request_not_found")
        assert (await here.ask("GET", f"{REQUESTS}/else")).code == "unknown_url"
