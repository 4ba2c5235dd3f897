from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policies.cache_curves import CAUTIOUS, SHIPPED
from tests.gateway.admin.listening import listening

if TYPE_CHECKING:
    from pathlib import Path

CURVE = "/admin/v1/cache/curve"
EMBEDDER = SHIPPED[0].embedder
MEASURED = {"embedder": EMBEDDER, "at_one": -5.0, "per_distance": 20.0, "per_sign": {"slot": 0.5}}
CACHED = [{"model": "r", "targets": ["a"], "cache": True}]


async def test_a_measured_curve_is_gone_by_until_the_shipped_one_is_wanted_again(tmp_path: Path) -> None:
    async with listening(tmp_path, routes=CACHED) as here:
        where = f"{CURVE}?embedder={EMBEDDER}"
        shipped = (await here.ask("GET", where)).body
        assert (shipped["embedder"], shipped["per_distance"]) == (EMBEDDER, SHIPPED[0].per_distance)
        kept = await here.ask("PUT", CURVE, MEASURED)
        assert (kept.status, kept.body) == (200, MEASURED | {"per_next": 0.0})
        assert (await here.ask("GET", where)).body == kept.body
        assert (await here.ask("DELETE", where)).body == shipped
        assert (await here.ask("GET", where)).body == shipped


@pytest.mark.parametrize(
    "changed",
    [{"per_distance": 0}, {"at_one": -21}, {"per_sign": {"mood": 1}}, {"embedder": ""}, {"more": 1}],
)
async def test_what_is_no_curve_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    async with listening(tmp_path, routes=CACHED) as here:
        assert (await here.ask("PUT", CURVE, MEASURED | changed)).status == 400


async def test_where_no_route_has_a_cache_there_is_the_shipped_one_and_none_to_change(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("GET", f"{CURVE}?embedder=x")).body["per_distance"] == CAUTIOUS.per_distance
        for told in (await here.ask("PUT", CURVE, MEASURED), await here.ask("DELETE", f"{CURVE}?embedder=x")):
            assert (told.status, told.code) == (404, "cache_not_configured")
