from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.state.ledger.sql import append
from tests.gateway.admin.listening import listening
from tests.gateway.state.ledger_rows import a_row

if TYPE_CHECKING:
    from pathlib import Path

USAGE = "/admin/v1/usage"


async def test_spend_is_told_by_group_and_span(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        await append(here.gateway.keys.database, [a_row("one"), a_row("two")])
        told = (await here.ask("GET", f"{USAGE}?by=deployment")).body
        assert told["by"] == ["deployment"]
        assert (told["idle"], told["hardware"]) == ([], None)
        assert told["total"]["attempts"] == sum(group["attempts"] for group in told["groups"]) == 2
        told = (await here.ask("GET", f"{USAGE}?by=team,model,source&month=2026-11")).body
        assert [group["names"] for group in told["groups"]] == [["platform", "gpt-4o-2024", "list"]]
        assert (told["total"]["cost_nanousd"], told["total"]["input_nanousd"]) == (700, 500)
        assert (await here.ask("GET", f"{USAGE}?month=2026-10")).body["total"]["attempts"] == 0
        assert (await here.ask("GET", f"{USAGE}?until=2001-01-01")).body["total"]["attempts"] == 0
        assert (await here.ask("GET", f"{USAGE}?since=2001-01-01T00:00:00%2B02:00")).body["total"]["attempts"] == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=mood", "by"),
        ("by=team,team", "by"),
        ("by=team,model,day,key", "by"),
        ("month=2026-13", "month"),
        ("month=2026-11&since=2026-11-02", "month"),
        ("since=soon", "since"),
        ("until=2026-99-99", "until"),
        ("from=x", None),
    ],
)
async def test_a_wrong_question_is_told_where(tmp_path: Path, query: str, param: str | None) -> None:
    async with listening(tmp_path) as here:
        told = await here.ask("GET", f"{USAGE}?{query}")
    assert (told.status, told.body["error"]["param"]) == (400, param)
