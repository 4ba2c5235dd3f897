"""A crowd of calls that are all late: hedges stay within their share, and each loser is cancelled, written and paid."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.moody_upstream import MoodyUpstream
from tests.end_to_end.open_loop import NO_SHEDDING, Phase, asking, ramp
from tests.gateway_process import gateway_process

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

SHARE = 0.1
LATE_S = 0.6
HEDGED_AFTER = "50ms"


@dataclass(frozen=True)
class Scale:
    per_s: float
    for_s: float


def policy(late: str, quick: str) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    return {
        "server": NO_SHEDDING,
        "providers": {
            name: {"kind": "openai", "base_url": url, "api_key": "none", "max_connections": 2000}
            for name, url in (("late", late), ("quick", quick))
        },
        "deployments": {name: {"provider": name, "model": name, "price": price} for name in ("late", "quick")},
        "routes": [
            {
                "model": "m",
                "targets": ["late"],
                "fallbacks": ["quick"],
                "hedge": {"after": HEDGED_AFTER, "at_most": f"{SHARE:.0%}"},
            }
        ],
        "limits": [{"per": "key", "tokens": "100M/day", "cost": "100 USD/day"}],
    }


@pytest.mark.parametrize(
    "scale",
    [pytest.param(Scale(80, 1.5), id="short"), pytest.param(Scale(250, 10.0), id="long", marks=pytest.mark.slow)],
)
async def test_hedges_stay_within_their_share_and_losers_are_cancelled_and_billed(tmp_path: Path, scale: Scale) -> None:
    asks = [asking("m", max_tokens=50), asking("m", max_tokens=50, stream=True)]
    async with MoodyUpstream(takes_s=LATE_S) as late, MoodyUpstream(takes_s=0.005) as quick:
        async with gateway_process(policy(late.url, quick.url), tmp_path) as gateway:
            load = await ramp(gateway.port, [Phase(scale.per_s, scale.for_s)], lambda number: asks[number % 2])
            shown = json.loads((await gateway.admin("/deployments"))[1])["deployments"]
            assert await gateway.stop() == 0
        calls, hedges = len(load.calls), quick.arrived["quick"]
        log.info("%d hedges for %d calls", hedges, calls)
        assert not [call for call in load.calls if call.status != 200]
        assert SHARE * calls / 2 <= hedges <= SHARE * calls
        assert late.arrived["late"] == calls
        assert (late.left["late"], late.answered["late"]) == (hedges, calls - hedges)
        assert (quick.left["quick"], quick.answered["quick"]) == (0, hedges)
    assert {one["name"]: one["in_flight"] for one in shown} == {"late": 0, "quick": 0}
    rows = gateway.ledger()
    assert Counter((row["deployment"], row["outcome"]) for row in rows) == {
        ("late", "ok"): calls - hedges,
        ("late", "hedge_lost"): hedges,
        ("quick", "ok"): hedges,
    }
    assert len({(row["request_id"], row["attempt"]) for row in rows}) == calls + hedges
    for row in rows:
        assert row["cost_nanousd"] > 0
        assert (row["cancelled"], row["estimated"]) == ((1, 1) if row["outcome"] == "hedge_lost" else (0, 0))
    charged: Counter[str] = Counter()
    for row in rows:
        for account, _, amount in json.loads(row["charges"] or "[]"):
            charged[account] += amount
    assert sum(row["cost_nanousd"] for row in rows) in charged.values(), "the budget was charged for losers too"
