"""A policy that is replaced again and again under load, all of it: no call notices, and none mixes two of them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.end_to_end.moody_upstream import TEXT, Mood, MoodyUpstream
from tests.end_to_end.open_loop import NO_SHEDDING, Phase, asking, ramp, statuses
from tests.gateway_process import complete, gateway_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

log = logging.getLogger(__name__)

NUMBER = re.compile(r"-(\d+)")
LONG_S = 0.6
NEVER = {"failures": 1000, "failure_share": "100%", "of_at_least": 100_000}
BAD = ("nonsense: 1\n", "routes: [\n", "teams: {a: {org: nobody}}\n")
KEYS = {name: f"sk-{name}-for-tests-only-0123456789" for name in ("ann", "bob")}


@dataclass(frozen=True)
class Scale:
    """`reloads` of them, one every `every_s`, of which each third one is bad."""

    per_s: float
    reloads: int
    every_s: float

    @property
    def for_s(self) -> float:
        return self.reloads * self.every_s


def policy(number: int, far: str, near: str) -> dict[str, Any]:
    """The same names each time, and all that stands behind them another: models, credentials, prices, limits.

    `m` fails over from the one provider to the other, `long` streams for longer than a policy lasts.
    """
    price = {"input": number, "output": number}

    def provider(url: str, name: str) -> dict[str, Any]:
        return {"kind": "openai", "base_url": url, "api_key": f"sk-{name}-{number}-of-the-provider", "breaker": NEVER}

    return {
        "server": NO_SHEDDING,
        "providers": {"far": provider(far, "far"), "near": provider(near, "near")},
        "deployments": {
            "first": {"provider": "far", "model": f"first-{number}", "price": price},
            "spare": {"provider": "near", "model": f"spare-{number}", "price": price},
            "long": {"provider": "near", "model": f"long-{number}", "price": price},
            f"only-{number}": {"provider": "near", "model": f"only-{number}", "price": price},
        },
        "routes": [
            {"model": "m", "targets": ["first"], "fallbacks": ["spare"], "retry": {"attempts": 1}},
            {"model": "long", "targets": ["long"], "retry": {"attempts": 1}},
            {"model": "only", "targets": [f"only-{number}"], "retry": {"attempts": 1}},
        ],
        "keys": [{"name": name, "secret": secret} for name, secret in KEYS.items()],
        "limits": [{"per": "key", "requests": f"{100_000 + number}/min"}, {"per": "key", "concurrent": 5_000 + number}],
    }


class Replacing:
    """Puts one policy after another in place of the file: by signal, or left to be found."""

    def __init__(self, gateway: GatewayProcess, far: MoodyUpstream, near: MoodyUpstream) -> None:
        self._gateway = gateway
        self._far = far
        self._near = near
        self.good = self.bad = 0

    async def go_on(self, scale: Scale) -> None:
        for turn in range(scale.reloads):
            await asyncio.sleep(scale.every_s)
            before = (await self._shown())["generation"]
            if turn % 3 == 2:
                self._put(self._text(self.good + 2) + BAD[self.bad % len(BAD)])
                self.bad += 1
                await self._until(before, failed=True)
            else:
                self.good += 1
                self._put(self._text(self.good + 1), signalled=turn % 2 == 0)
                await self._until(before + 1, failed=False)

    def _text(self, number: int) -> str:
        expect(number, self._far)
        return yaml.safe_dump(complete(policy(number, self._far.url, self._near.url), self._gateway.folder))

    def _put(self, text: str, *, signalled: bool = True) -> None:
        fresh = self._gateway.policy_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._gateway.policy_file)
        if signalled:
            self._gateway.process.send_signal(signal.SIGHUP)

    async def _until(self, number: int, *, failed: bool) -> None:
        """Until the operators are told so, and a generation of this number or more: a signal may come just as the file
        was found, and then it is read twice.
        """
        async with asyncio.timeout(15):
            while (shown := await self._shown())["generation"] < number or shown["reload_failed"] != failed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads((await self._gateway.admin("/deployments"))[1])
        return shown


def expect(number: int, far: MoodyUpstream) -> None:
    """What the providers do with this policy's models."""
    far.mood_of[f"first-{number}"] = Mood.REFUSES


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(60, 3, 0.3), id="short"),
        pytest.param(Scale(150, 20, 1.0), id="long", marks=pytest.mark.slow),
    ],
)
async def test_no_call_notices_that_the_policy_is_replaced(tmp_path: Path, scale: Scale) -> None:
    async with MoodyUpstream(takes_s=0.05) as far, MoodyUpstream(takes_s=0.05) as near:
        expect(1, far)
        for number in range(1, scale.reloads + 3):
            near.takes_of[f"long-{number}"] = LONG_S
        async with gateway_process(policy(1, far.url, near.url), tmp_path) as gateway:
            replacing = Replacing(gateway, far, near)
            asks = [
                asking(model, key=key, stream=stream)
                for model, stream in (("m", True), ("m", False), ("only", False), ("long", True))
                for key in KEYS.values()
            ]
            turns = asyncio.ensure_future(replacing.go_on(scale))
            load = await ramp(gateway.port, [Phase(scale.per_s, scale.for_s + 1.0)], lambda n: asks[n % len(asks)])
            await turns
            last = await ramp(gateway.port, [Phase(scale.per_s, 0.5)], lambda n: asks[n % len(asks)])
            load.calls += last.calls
            log.info("%d calls, %d good policies, %d bad ones", len(load.calls), replacing.good, replacing.bad)
            assert statuses(load.calls) == Counter({200: len(load.calls)})
            for call in load.calls:
                is_stream = str(call.header("content-type")).startswith("text/event-stream")
                assert (b"[DONE]" if is_stream else TEXT.encode()) in call.body, call
            await _old_connections_close(near, replacing.good + 1)
            assert await gateway.stop() == 0
    _each_call_kept_to_one_policy(far, near)
    used = {heard.credential for heard in near.heard}
    assert f"sk-near-{replacing.good + 1}-of-the-provider" in used
    assert len(used) > replacing.good / 2
    rows = Counter(row["request_id"] for row in gateway.ledger())
    assert sum(rows.values()) == len(far.heard) + len(near.heard)
    _prices_are_of_the_policy(gateway, near)
    assert "Traceback" not in "".join(gateway.text)


def _each_call_kept_to_one_policy(far: MoodyUpstream, near: MoodyUpstream) -> None:
    """A call's attempts, their models and their credentials are all of one policy."""
    numbers: defaultdict[str, set[str]] = defaultdict(set)
    for heard in [*far.heard, *near.heard]:
        numbers[heard.call_id] |= {*NUMBER.findall(heard.model), NUMBER.findall(heard.credential)[0]}
    assert not {call_id: found for call_id, found in numbers.items() if len(found) > 1}


def _prices_are_of_the_policy(gateway: GatewayProcess, near: MoodyUpstream) -> None:
    """Input and output cost as many dollars for a million as the policy's number, also for calls that outlasted it."""
    number_of = {heard.call_id: int(NUMBER.findall(heard.model)[0]) for heard in near.heard}
    for row in gateway.ledger():
        if row["outcome"] == "ok":
            tokens = row["input_tokens"] + row["output_tokens"]
            assert row["cost_nanousd"] == tokens * 1000 * number_of[row["request_id"]], json.dumps(row, default=str)


async def _old_connections_close(near: MoodyUpstream, newest: int) -> None:
    async with asyncio.timeout(10):
        while {c.credential for c in near.connections} - {f"sk-near-{newest}-of-the-provider", ""}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
