"""What other gateways' users report of limits and budgets, each as a test of this one: one class of bug a test.

| class of bug | shown here, and beside it |
| --- | --- |
| usage lost when the caller leaves | streams, below; test_disconnect.py, test_drain_on_disconnect.py, test_kill.py |
| exceeded under concurrency | each tier as the tightest, below; test_limits_crowd.py for each resource |
| blocked while under budget | failures, below; test_limits_store_down.py, test_limits_restart.py, test_reconcile.py |
| endpoints that do not count | every endpoint, whole and streamed, below |
| a free model with a paid fallback | below; tests/policies/test_estimate.py |
| unknown price, silently zero | below; tests/policies/test_pricing.py, tests/gateway/stages/test_admit.py |
| a rate wrong by a factor | four counters and windows side by side, below; test_limits_told.py |
| counted per replica | test_limits_crowd.py: gateways and workers; test_limits_store_down.py: without the store |
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.limited_ground import (
    MODEL,
    PRICE,
    PROMPT_TOKENS,
    Caller,
    ask,
    levels,
    limited,
    metered,
    press,
    settled,
    until,
    use_up,
)
from tests.end_to_end.proving_ground import parsed
from tests.gateway_process import gateway_process, post
from tests.openai_upstream import BUILDERS, reply_to
from tests.scripted_upstream import ScriptedUpstream, answer, chunk, forever, head, request, reset, send, stall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

TIERS = ("key", "user", "team", "org", "route")
TIGHT = {"cost": "0.0003 USD/month"}
TIGHT_NANOUSD = 300_000
LOOSE = {"cost": "$1/month"}
BUDGET = Caller("budget", limits={"cost": "0.0006 USD/month"})
HI = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": HI, "max_tokens": 30},
    "completions": {"prompt": "hi", "max_tokens": 30},
    "responses": {"input": "hi", "max_output_tokens": 30},
    "embeddings": {"input": ["hi"]},
}
CALLS = [(path, stream) for path in BODIES for stream in (False, True) if path != "embeddings" or not stream]
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
COUNTED = Caller(
    "counted", limits=[{"requests": "100/h"}, {"tokens": "1M/h"}, {"cost": "$1/month"}, {"concurrent": 50}]
)


def speaks() -> Step:
    """Answers every endpoint, always with the same usage."""

    async def step(peer: Peer) -> None:
        received = peer.requests[-1]
        await send(reply_to(received, json.loads(received.body)))(peer)

    return step


def breaks_off() -> Step:
    """The first half of a stream, and nothing more."""

    async def step(peer: Peer) -> None:
        received = peer.requests[-1]
        _, cut, content_at = BUILDERS[received.path.removeprefix("/v1/")]
        pieces = cut(json.loads(received.body))
        await send(SSE + chunk(b"".join(pieces[: content_at + 3])))(peer)
        await stall()(peer)

    return step


async def call(gateway: GatewayProcess, caller: Caller, path: str, *, stream: bool = False) -> int:
    body = {"model": caller.name, **BODIES[path]} | ({"stream": True} if stream else {})
    return parsed(await gateway.ask(post(f"/v1/{path}", body, key=caller.secret))).status


async def leave(gateway: GatewayProcess, caller: Caller, path: str, *, after: bytes) -> None:
    """Ask for a stream, read until `after`, and hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(post(f"/v1/{path}", {"model": caller.name, "stream": True, **BODIES[path]}, key=caller.secret))
    await asyncio.wait_for(reader.readuntil(after), 10.0)
    writer.transport.abort()


async def test_who_leaves_a_stream_pays_for_what_was_generated(tmp_path: Path) -> None:
    """Item 1: usage is read from the last chunk only, so whoever leaves before it pays nothing and keeps the quota."""
    streams = [path for path, stream in CALLS if stream]
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), breaks_off()))
        async with gateway_process(limited(upstream.url, COUNTED), tmp_path) as gateway:
            for path in streams:
                await leave(gateway, COUNTED, path, after=b" aus")
            rows = await gateway.rows(len(streams))
            seen = await settled(gateway)
    assert {row["endpoint"] for row in rows} == set(streams)
    for row in rows:
        assert (row["outcome"], row["estimated"]) == ("client_cancelled", 1)
        assert row["input_tokens"] > 0
        assert row["output_tokens"] >= 2
        assert row["cost_nanousd"] == row["input_tokens"] * 150 + row["output_tokens"] * 600
    assert seen["counted cost"]["used"] == sum(row["cost_nanousd"] for row in rows)
    tokens = sum(row["input_tokens"] + row["output_tokens"] for row in rows)
    assert tokens - 10_000 <= seen["counted tokens"]["used"] <= tokens  # 1M an hour comes back at 278 a second


@pytest.mark.parametrize("tight", TIERS)
async def test_no_tier_is_exceeded_by_a_crowd(tight: str, tmp_path: Path) -> None:
    """Item 2: what is checked first and added later, or reserved on some tiers only, is exceeded under concurrency."""
    own = {tier: [TIGHT if tier == tight else LOOSE] for tier in TIERS}
    one, two = (Caller(n, limits=own["key"], org="o", team="t", user="u") for n in ("one", "two"))
    async with metered() as meter:
        policy = limited(meter.url, one, two)
        policy["orgs"] = {"o": {"limits": own["org"]}}
        policy["teams"] = {"t": {"org": "o", "limits": own["team"]}}
        policy["users"] = {"u": {"org": "o", "limits": own["user"]}}
        for route in policy["routes"]:
            route["limits"] = own["route"]
        async with gateway_process(policy, tmp_path) as gateway:
            crowds = await asyncio.gather(*(press([gateway], each, callers=32, calls=4) for each in (one, two)))
            for each in (one, two):
                await use_up(gateway, each)
            seen = await settled(gateway)
    offered = sum(len(crowd.replies) for crowd in crowds) * (PROMPT_TOKENS * 150 + one.max_tokens * 600)
    spent = [meter.nanousd[each.model] for each in (one, two)]
    assert offered >= 5 * TIGHT_NANOUSD
    for used in spent if tight in ("key", "route") else [sum(spent)]:
        assert TIGHT_NANOUSD - one.reserved_nanousd < used <= TIGHT_NANOUSD
    assert seen["o cost"]["used"] == seen["t cost"]["used"] == seen["u cost"]["used"] == sum(spent)


async def test_what_failed_is_not_held_against_a_budget(tmp_path: Path) -> None:
    """Item 3: callers blocked while under budget, by what was reserved for calls that failed and never given back."""
    failures: list[tuple[Step, ...]] = [
        (send(answer(b'{"error": {"message": "no"}}', status=500)),),
        (send(answer(b'{"error": {"message": "no"}}', status=429)),),
        (send(answer(b'{"error": {"message": "no"}}', status=400)),),
        (send(answer(b"<html>")),),
        (reset(),),
    ]
    async with metered() as meter, ScriptedUpstream() as broken:
        for steps in failures * 6:
            broken.then(request(), *steps)
        policy = limited(meter.url, BUDGET)
        policy["providers"]["broken"] = {"kind": "openai", "base_url": f"{broken.url}/v1", "api_key": "none"}
        policy["deployments"] |= {f"b{n}": {"provider": "broken", "model": "m", "price": PRICE} for n in range(30)}
        policy["routes"] += [{"model": f"b{n}", "targets": [f"b{n}"], "retry": {"attempts": 1}} for n in range(30)]
        async with gateway_process(policy, tmp_path) as gateway:
            statuses = [(await ask(gateway, BUDGET, model=f"b{n}")).status for n in range(30)]
            assert set(statuses) <= {400, 429, 500, 502, 503}
            assert len(broken.requests) == 30
            for _ in range(5):  # never reaches an upstream
                assert (await ask(gateway, BUDGET, model="nowhere")).status == 404
                assert (await ask(gateway, BUDGET, messages=7)).status == 400
            before = (await settled(gateway))["budget cost"]
            rows = await gateway.rows(30)
            assert before["used"] == sum(row["cost_nanousd"] or 0 for row in rows)
            assert before["held"] == 0
            await use_up(gateway, BUDGET)
            assert 600_000 - BUDGET.reserved_nanousd < before["used"] + meter.nanousd[BUDGET.model] <= 600_000


async def test_every_endpoint_counts_whole_and_streamed(tmp_path: Path) -> None:
    """Item 4: accounting hangs on each handler rather than on one path, so some endpoints cost nothing."""
    stopped = Caller("stopped", limits=[{"requests": "1/h"}])
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), speaks()))
        async with gateway_process(limited(upstream.url, COUNTED, stopped), tmp_path) as gateway:
            for count, (path, stream) in enumerate(CALLS, start=1):
                before = (await levels(gateway)).get("counted cost", {"used": 0})["used"]
                assert await call(gateway, COUNTED, path, stream=stream) == 200, path
                row = (await gateway.rows(count))[-1]
                seen = await settled(gateway)
                used = (row["input_tokens"], row["output_tokens"], row["estimated"])
                assert (row["endpoint"], row["stream"]) == (path, stream)
                assert used == ((6, 0, 0) if path == "embeddings" else (11, 7, 0)), path
                assert row["cost_nanousd"] == used[0] * 150 + used[1] * 600
                assert seen["counted cost"]["used"] - before == row["cost_nanousd"], path
            rows = gateway.ledger()
            assert seen["counted requests"]["used"] == pytest.approx(len(CALLS), abs=1)
            assert {row["stream"] for row in rows} == {0, 1}
            # And a limit stops every one of them.
            assert await call(gateway, stopped, "embeddings") == 200
            for path, stream in CALLS:
                assert await call(gateway, stopped, path, stream=stream) == 429, path
    assert len(upstream.requests) == len(CALLS) + 1


async def test_a_free_model_with_a_paid_fallback_is_held_to_the_budget(tmp_path: Path) -> None:
    """Item 5: the check sees the price of the first model, which is zero, and lets the fallback spend without end."""
    async with metered() as meter, ScriptedUpstream() as local:
        local.otherwise(forever(request(), send(answer(b'{"error": {"message": "busy"}}', status=503))))
        policy = limited(meter.url, BUDGET)
        policy["providers"]["local"] = {"kind": "openai", "base_url": f"{local.url}/v1", "api_key": "none"}
        policy["deployments"]["free"] = {
            "provider": "local",
            "model": f"{MODEL}-free",
            "price": {"input": 0, "output": 0},
        }
        policy["routes"] = [{"model": "budget", "targets": ["free"], "fallbacks": ["budget"], "retry": {"attempts": 1}}]
        async with gateway_process(policy, tmp_path) as gateway:
            crowd = await press([gateway], BUDGET, callers=32, calls=4)
            last = await use_up(gateway, BUDGET)
            tried = len(local.requests)
            refused = await press([gateway], BUDGET, callers=8, calls=1)
            assert refused.statuses == {429: 8}
            assert len(local.requests) == tried, "not even the free model is asked: its fallback could not be paid"
            seen = await settled(gateway)
    assert tried > 0
    assert crowd.admitted + len(last) - 1 == meter.answered[BUDGET.model]
    assert 600_000 - BUDGET.reserved_nanousd < meter.nanousd[BUDGET.model] <= 600_000
    assert seen["budget cost"]["used"] == meter.nanousd[BUDGET.model]
    assert last[-1].error["code"] == "insufficient_quota"


async def test_an_unknown_price_is_never_zero(tmp_path: Path) -> None:
    """Item 6: a model that the price table does not know costs $0, so that budgets never fire."""
    free = Caller("unlimited")
    async with metered() as meter:
        policy = limited(meter.url, BUDGET, free)
        for deployment in policy["deployments"].values():
            del deployment["price"]
            deployment["model"] = "nobody-knows-me"
        async with gateway_process(policy, tmp_path) as gateway:
            refused = await ask(gateway, BUDGET)
            assert (refused.status, refused.error["code"]) == (403, "price_unknown")
            assert not meter.opened
            assert (await ask(gateway, free)).status == 200
            (row,) = await gateway.rows(1)
    assert (row["cost_nanousd"], row["unpriced_reason"]) == (None, "no_price")
    assert row["output_tokens"] == free.max_tokens


async def test_counters_and_windows_do_not_mix(tmp_path: Path) -> None:
    """Item 7: limits that bite at a third of their amount, because two counters share a window or a value."""
    limits = [
        {"requests": "100/day"},
        {"tokens": "10k/day"},
        {"input_tokens": "1M/month"},
        {"output_tokens": "9k/week"},
    ]
    caller = Caller("four", limits=limits)
    async with metered() as meter, gateway_process(limited(meter.url, caller), tmp_path) as gateway:
        assert (await press([gateway], caller, callers=4, calls=5)).statuses == {200: 20}
        seen = await settled(gateway)
        counted = {name: (level["used"], level["remaining"]) for name, level in seen.items()}
    output = 20 * caller.max_tokens
    assert counted == {
        "four requests": (20, 80),
        "four tokens": (output + 20 * PROMPT_TOKENS, 10_000 - output - 20 * PROMPT_TOKENS),
        "four input_tokens": (20 * PROMPT_TOKENS, 1_000_000 - 20 * PROMPT_TOKENS),
        "four output_tokens": (output, 9_000 - output),
    }


async def test_a_key_s_calls_at_once_are_held_under_however_they_end(tmp_path: Path) -> None:
    """Items 7 and 8: a parallel limit that leaks a place with each malformed, refused or abandoned call."""
    caller = Caller("narrow", limits={"concurrent": 2})
    async with metered() as meter, gateway_process(limited(meter.url, caller), tmp_path) as gateway:
        for _ in range(4):
            assert (await ask(gateway, caller, messages=7)).status == 400
            assert (await ask(gateway, caller, model="nowhere")).status == 404
            meter.held_back = asyncio.Event()
            held = [asyncio.create_task(ask(gateway, caller)) for _ in range(2)]
            await until(lambda: meter.under_way[caller.model] == 2)
            assert (await ask(gateway, caller)).status == 429
            for one in held:  # the test's own connections close: these callers have left
                one.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            meter.held_back.set()
            meter.held_back = None
            await settled(gateway)
            await until(lambda: not meter.under_way[caller.model])
        assert (await press([gateway], caller, callers=2, calls=1)).statuses == {200: 2}
