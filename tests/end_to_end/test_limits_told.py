"""What callers are told of limits is what then happens: waits, remainders and resets. Edits keep what was used."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI, RateLimitError

from tests.end_to_end.limited_ground import (
    PROMPT_TOKENS,
    Caller,
    ask,
    edit,
    levels,
    limited,
    metered,
    press,
    settled,
    use_up,
)
from tests.gateway_process import gateway_process
from tests.redis_servers import own_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.end_to_end.proving_ground import Reply
    from tests.gateway_process import GatewayProcess

GO_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:(\d+)ms)?")
CALL_TOKENS = PROMPT_TOKENS + 20


def seconds(told: str) -> float:
    """A duration as Go writes it."""
    found = GO_DURATION.fullmatch(told)
    assert found is not None, told
    hours, minutes, rest_s, ms = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest_s + ms / 1000


def number(reply: Reply, header: str) -> int:
    return int(reply.headers[header])


async def test_who_waits_as_long_as_told_is_let_in_and_who_does_not_is_not(tmp_path: Path) -> None:
    window_s = 2.0
    once = Caller("once", limits={"requests": "1/2s"})
    many = Caller("many", limits={"tokens": "100/s"}, max_tokens=80)
    async with metered() as meter, gateway_process(limited(meter.url, once, many), tmp_path) as gateway:
        began_s = time.monotonic()
        assert (await ask(gateway, once)).status == 200
        told = await ask(gateway, once)
        await asyncio.sleep(window_s * 0.6)
        early = await ask(gateway, once)
        if time.monotonic() < began_s + window_s:  # a machine this slow has waited long enough
            assert (told.status, number(told, "retry-after")) == (429, 2)
            assert (early.status, number(early, "retry-after")) == (429, 1)
            await asyncio.sleep(1.0)
            assert (await ask(gateway, once)).status == 200
        # A call of up to 88 tokens that settled 85 has to wait for 73 of them at 100 a second, and is told a whole one.
        began_s = time.monotonic()
        assert (await ask(gateway, many)).status == 200
        refused = await ask(gateway, many)
        if time.monotonic() < began_s + 0.7:
            assert (refused.status, number(refused, "retry-after")) == (429, 1)
            await asyncio.sleep(1.0)
            assert (await ask(gateway, many)).status == 200


async def test_headers_say_how_many_calls_are_left_and_when_all_are_there_again(tmp_path: Path) -> None:
    slow = Caller("slow", limits={"requests": "7/h"})
    quick = Caller("quick", limits={"requests": "4/2s"})
    async with metered() as meter, gateway_process(limited(meter.url, slow, quick), tmp_path) as gateway:
        replies = await use_up(gateway, slow)
        left = [number(reply, "x-ratelimit-remaining-requests") for reply in replies]
        assert left == [6, 5, 4, 3, 2, 1, 0, 0]
        for reply, remaining in zip(replies, left, strict=True):
            assert number(reply, "x-ratelimit-limit-requests") == 7
            told = re.fullmatch(r'"(?P<name>[^"]+)";r=(?P<left>\d+);t=(?P<reset>\d+)', reply.headers["ratelimit"])
            assert told is not None
            assert int(told["left"]) == remaining
            assert reply.headers["ratelimit-policy"] == f'"{told["name"]}";q=7;w=3600;qu="requests"'
            reset_s = seconds(reply.headers["x-ratelimit-reset-requests"])
            assert int(told["reset"]) - 1 <= reset_s <= int(told["reset"])
            assert reset_s == pytest.approx((7 - remaining) * 3600 / 7, abs=30)
        assert number(replies[-1], "retry-after") == pytest.approx(3600 / 7, abs=30)
        # After the reset all of it is there, all at once.
        last = (await use_up(gateway, quick))[-1]
        await asyncio.sleep(seconds(last.headers["x-ratelimit-reset-requests"]))
        crowd = await press([gateway], quick, callers=12, calls=1)
        assert 4 <= crowd.admitted <= 4 + 2 * crowd.lasted_s + 1


async def test_remaining_tokens_are_those_that_are_then_used(tmp_path: Path) -> None:
    caller = Caller("counted", limits={"tokens": "1000/h"})
    async with metered() as meter, gateway_process(limited(meter.url, caller), tmp_path) as gateway:
        told = []
        for calls in range(10):
            reply = await ask(gateway, caller)
            told.append(number(reply, "x-ratelimit-remaining-tokens"))
            held = (1000 - told[-1]) - calls * CALL_TOKENS  # what this call itself may still come to use
            assert CALL_TOKENS - 5 <= held <= 300
        seen = (await settled(gateway))["counted tokens"]
        assert seen["remaining"] == pytest.approx(1000 - 10 * CALL_TOKENS, abs=5)
        refused = (await use_up(gateway, caller))[-1]
        left = number(refused, "x-ratelimit-remaining-tokens")
        assert left < caller.reserved_tokens, "refused with room for the call"
        wait_s = number(refused, "retry-after")
        assert wait_s == pytest.approx((caller.reserved_tokens - left) * 3.6, abs=4)


def amount(value: str) -> Callable[[dict[str, Any]], object]:
    def change(policy: dict[str, Any]) -> None:
        policy["keys"][0]["limits"] = [{"tokens": value}, {"cost": "$1/month"}]

    return change


@pytest.mark.parametrize("state", ["memory", "redis"])
async def test_an_edited_limit_keeps_what_was_used(state: str, tmp_path: Path) -> None:
    caller = Caller("edited", limits=[{"tokens": "1000/h"}, {"cost": "$1/month"}])
    with ExitStack() as servers:
        more: dict[str, Any] = {}
        if state == "redis":
            more["state"] = {"url": servers.enter_context(own_server()).url, "timeout": "2s"}
        async with metered() as meter, gateway_process(limited(meter.url, caller, **more), tmp_path) as gateway:
            # Who comes before the ledger can say what was spent is refused; a disk that stalls may bring that about.
            admitted = (await press([gateway], caller, callers=4, calls=6)).admitted
            spent = (await settled(gateway))["edited cost"]["used"]
            used = meter.tokens[caller.model]
            assert 425 < used == admitted * CALL_TOKENS
            for value, expected in (("2000/h", 2000 - used), ("400/h", 0), ("1000/h", 1000 - used)):
                await edit(gateway, amount(value))
                level = (await levels(gateway))["edited tokens"]
                assert level["remaining"] == pytest.approx(expected, abs=30), value
                assert level["used"] == pytest.approx(used, abs=30)
                assert (await levels(gateway))["edited cost"]["used"] == spent
                if value == "400/h":
                    assert (await ask(gateway, caller)).status == 429
            crowd = await press([gateway], caller, callers=16, calls=6)
            assert set(crowd.statuses) == {200, 429}
            await use_up(gateway, caller)
            assert 1000 - caller.reserved_tokens < meter.tokens[caller.model] <= 1000 + 30


async def test_sdks_give_up_on_a_spent_budget_and_wait_out_a_rate(tmp_path: Path) -> None:
    """`x-should-retry: false`: no wait of seconds brings money back, and the SDK asks once only."""
    broke = Caller("broke", limits={"cost": "0.00002 USD/month"})
    hasty = Caller("hasty", limits={"requests": "1/s"})

    def call(gateway: GatewayProcess, caller: Caller) -> str | None:
        with OpenAI(base_url=gateway.base_url, api_key=caller.secret, max_retries=2) as client:
            body = {"model": caller.name, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
            return client.chat.completions.create(**body).choices[0].message.content  # type: ignore[call-overload,no-any-return]

    async with metered() as meter, gateway_process(limited(meter.url, broke, hasty), tmp_path) as gateway:
        assert await asyncio.to_thread(call, gateway, broke) == "x"
        with pytest.raises(RateLimitError) as refused:
            await asyncio.to_thread(call, gateway, broke)
        assert refused.value.code == "insufficient_quota"
        assert refused.value.response.headers["x-should-retry"] == "false"
        for _ in range(2):
            assert await asyncio.to_thread(call, gateway, hasty) == "x"
        assert await gateway.stop() == 0
    asked = [
        (line.get("key_alias"), line["status"]) for line in gateway.lines if line.get("event") == "request.completed"
    ]
    assert [status for name, status in asked if name == "broke"] == [200, 429]
    assert [status for name, status in asked if name == "hasty"][-1] == 200
    assert meter.answered == {broke.model: 1, hasty.model: 2}
