from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.admin.listening import listening
from tests.gateway.calls import attempt, call

if TYPE_CHECKING:
    from pathlib import Path

DECISIONS = "/admin/v1/decisions"


async def test_the_latest_decisions_and_one_of_them(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        made = [call(attempt()) for _ in range(3)]
        for one in made:
            here.gateway.reporting.decisions.add(one)
        told = (await here.ask("GET", f"{DECISIONS}?limit=2")).body["decisions"]
        assert [decision["request_id"] for decision in told] == [made[2].id, made[1].id]
        assert (await here.ask("GET", f"{DECISIONS}?key=nobody")).body == {"decisions": []}
        assert len((await here.ask("GET", f"{DECISIONS}?route=smart&key=ci")).body["decisions"]) == 3
        first = await here.ask("GET", f"{DECISIONS}/{made[0].id}")
        assert first.body["request_id"] == made[0].id
        assert first.body["attempts"][0]["deployment"] == "gpt-4o"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/req_" + "0" * 28, 404), ("/else", 404), ("?limit=0", 400), ("?limit=1001", 400), ("?x=1", 400)],
)
async def test_what_is_not_known_or_wrongly_asked_is_told(tmp_path: Path, path: str, status: int) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("GET", f"{DECISIONS}{path}")).status == status
