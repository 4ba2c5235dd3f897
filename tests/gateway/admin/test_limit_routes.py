from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.state.limits.store import StoreUnavailable
from tests.gateway.admin.listening import listening

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.gateway.admin.listening import Listening

LIMITS = "/admin/v1/limits"
CALL = {"model": "r", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}


async def levels(here: Listening, query: str = "") -> list[dict[str, Any]]:
    told = await here.ask("GET", f"{LIMITS}{query}")
    assert told.status == 200, told.body
    found: list[dict[str, Any]] = told.body["limits"]
    return found


async def test_what_calls_used_is_shown_by_scope_and_holder(tmp_path: Path) -> None:
    limits = [{"per": "key", "requests": "60/min"}, {"per": "deployment", "concurrent": 3}]
    async with listening(tmp_path, limits=limits, orgs={"acme": {}}) as here:
        assert await levels(here) == []
        own = [{"requests": "5/min"}]
        ours = (await here.ask("POST", "/admin/v1/keys", {"name": "a", "limits": own})).body["secret"]
        own = [{"requests": "7/min"}]
        theirs = (await here.ask("POST", "/admin/v1/keys", {"name": "a", "org": "acme", "limits": own})).body["secret"]
        own = [{"requests": "9/min"}]
        other = (await here.ask("POST", "/admin/v1/keys", {"name": "b", "org": "acme", "limits": own})).body["secret"]
        for key in (ours, theirs, theirs, other):
            assert (await here.call("POST", "/v1/chat/completions", key, CALL)).status == 502, "nobody is there"
        found = await levels(here)
        shown = [(one["org"], one["scope"], one["holder"], one["amount"], one["used"]) for one in found]
        assert shown == [
            (None, "deployment", "a", 3, 0),
            ("acme", "key", "a", 60, 2),
            ("acme", "key", "a", 7, 2),
            ("acme", "key", "b", 60, 1),
            ("acme", "key", "b", 9, 1),
            ("default", "key", "a", 60, 1),
            ("default", "key", "a", 5, 1),
        ]
        assert found[1]["remaining"] == 58
        assert 0 < found[1]["reset_s"] <= 2.0
        assert [one["amount"] for one in await levels(here, "?org=acme")] == [60, 7, 60, 9]
        assert [one["holder"] for one in await levels(here, "?scope=deployment")] == ["a"]
        assert await levels(here, "?holder=c") == []
        assert (await here.ask("GET", f"{LIMITS}?scope=mood")).body["error"]["param"] == "scope"


async def test_a_store_that_is_away_is_a_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> list[object]:
        raise StoreUnavailable("no answer")

    async with listening(tmp_path, limits=[{"per": "key", "requests": "1/min"}]) as here:
        monkeypatch.setattr(here.gateway.limits.store, "view", away)
        told = await here.ask("GET", LIMITS)
    assert (told.status, told.code) == (503, "limits_unavailable")
