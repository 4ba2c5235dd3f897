"""Runs the scenarios through a real gateway process: a policy as a user would write it, callers, and the log of the
wall.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.end_to_end.failover.scenarios import SCENARIOS
from tests.end_to_end.failover.scoring import Ended, Heard, Score, Seen, score
from tests.end_to_end.proving_ground import parsed
from tests.failure_wall import FailureWall
from tests.gateway_process import gateway_process, post

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.end_to_end.failover.scenarios import Profile, Scenario
    from tests.gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "What makes a switch in the rails worth its trust? Sixty words."}]
FIRST_WORD = re.compile(rb'"content": ?"A')
HEALTHY = "healthy"
HEALTHY_WITHIN_S = 10.0
PRICE = {"input": 1, "output": 2}


@dataclass(frozen=True)
class Variant:
    """What is set beside the defaults: in each route, and in the fallback's deployment if it can continue a text."""

    name: str
    route: dict[str, Any]
    spare: dict[str, Any]
    stream: bool = True
    without: tuple[str, ...] = ()

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return tuple(scenario for scenario in SCENARIOS if scenario.id not in self.without)


DEFAULTS = Variant("defaults", {}, {})
RESUME = Variant("resume", {"resume": ["prefill", "align"]}, {"supports": ["prefill"]})
ALIGN = Variant("align", {"resume": ["align"]}, {})
# An answer in one piece has no first token and no pauses: how long it may take is for its route's total to say.
WHOLE = Variant("whole", {}, {}, stream=False, without=("S06", "S07", "S09"))


@dataclass(frozen=True)
class Result:
    """One scenario under one variant, with the ledger's rows of its calls' deployments."""

    scenario: Scenario
    variant: Variant
    seen: Seen
    score: Score
    rows: list[dict[str, Any]]


def name_of(scenario: Scenario, variant: Variant) -> str:
    return f"{scenario.id.lower()}-{variant.name}"


def policy_of(url: str, profile: Profile, variants: Iterable[Variant]) -> dict[str, Any]:
    """A route with a primary and one fallback for each scenario, so that no breaker remembers another scenario."""
    deployments: dict[str, Any] = {HEALTHY: {"provider": "wall", "model": "ok.healthy"}}
    routes: list[dict[str, Any]] = [{"model": HEALTHY, "targets": [HEALTHY]}]
    for variant in variants:
        for scenario in variant.scenarios:
            name = name_of(scenario, variant)
            known = variant.spare if scenario.spare == "ok" else {}
            deployments[name] = {"provider": "wall", "model": f"{scenario.fault}.{name}", "price": PRICE}
            deployments[f"{name}-spare"] = {
                "provider": "wall",
                "model": f"{scenario.spare}.{name}-spare",
                "price": PRICE,
                **known,
            }
            routes.append(
                {"model": name, "targets": [name], "fallbacks": [f"{name}-spare"], **profile.route, **variant.route}
            )
    provider = {"kind": "openai", "base_url": url, "api_key": "sk-wall-0123456789", **profile.provider}
    return {"providers": {"wall": provider}, "deployments": deployments, "routes": routes}


async def run(profile: Profile, variants: tuple[Variant, ...], folder: Path) -> list[Result]:
    """Every scenario under every variant, all at once, over one gateway."""
    async with (
        FailureWall(profile.timing) as wall,
        gateway_process(policy_of(wall.url, profile, variants), folder) as gateway,
    ):
        pairs = [(scenario, variant) for variant in variants for scenario in variant.scenarios]
        seen = await asyncio.gather(*[_seen(gateway, wall, profile, *pair) for pair in pairs])
        await gateway.stop()
        rows = gateway.ledger()
    return [
        Result(
            scenario,
            variant,
            saw,
            score(scenario.checks(profile.limits), saw, error_is_best=scenario.error_is_best),
            [row for row in rows if str(row["deployment"]).removesuffix("-spare") == name_of(scenario, variant)],
        )
        for (scenario, variant), saw in zip(pairs, seen, strict=True)
    ]


async def _seen(
    gateway: GatewayProcess, wall: FailureWall, profile: Profile, scenario: Scenario, variant: Variant
) -> Seen:
    name = name_of(scenario, variant)
    limits = profile.limits
    calls = []
    if scenario.is_sequence:
        began_s = time.monotonic()
        for number in range(limits.flapping.calls):
            await asyncio.sleep(began_s + number * limits.flapping.every_s - time.monotonic())
            calls.append(await call(gateway, wall, name, within_s=limits.longest_s, stream=variant.stream))
    else:
        calls.append(await call(gateway, wall, name, within_s=limits.longest_s, stream=variant.stream))
    healthy = await call(gateway, wall, HEALTHY, within_s=HEALTHY_WITHIN_S, stream=variant.stream)
    spare = f"{scenario.spare}.{name}-spare"
    return Seen(
        tuple(calls),
        tuple(wall.attempts_at(f"{scenario.fault}.{name}")),
        tuple(wall.attempts_at(spare)),
        spare,
        alive=healthy.is_whole,
        outage_s=profile.timing.outage_s if scenario.is_sequence else 0.0,
    )


async def call(
    gateway: GatewayProcess, wall: FailureWall, model: str, *, within_s: float, stream: bool = True
) -> Heard:
    """One call of a careful client: it reads to the end, and believes an error event wherever it stands."""
    sent_s = wall.now_s
    body: dict[str, Any] = {"model": model, "messages": MESSAGES, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    got, first_s = b"", None
    try:
        async with asyncio.timeout(within_s):
            writer.write(post("/v1/chat/completions", body))
            while data := await reader.read(1 << 16):
                got += data
                if first_s is None and FIRST_WORD.search(got):
                    first_s = wall.now_s - sent_s
    except TimeoutError:
        return Heard(Ended.HUNG, wall.now_s - sent_s, sent_s, error=f"no end within {within_s:g} s")
    finally:
        writer.close()
    return _heard(got, wall.now_s - sent_s, sent_s, first_s)


def _heard(got: bytes, took_s: float, sent_s: float, first_s: float | None) -> Heard:
    reply = parsed(got)
    if reply.status != 200:
        return Heard(Ended.ERROR, took_s, sent_s, error=f"{reply.status} {reply.error['code']}")
    if not reply.headers["content-type"].startswith("text/event-stream"):
        body = json.loads(reply.body)
        return Heard(Ended.ANSWERED, took_s, sent_s, reply.text, "", body["model"], body.get("usage"), True, first_s)
    events = [event for event in reply.events if isinstance(event, dict)]
    errors = [event["error"]["code"] for event in events if event.get("error")]
    error = errors[0] if errors else "" if reply.ended else "the connection broke off"
    return Heard(
        Ended.ERROR if error else Ended.ANSWERED,
        took_s,
        sent_s,
        "".join(
            choice["delta"].get("content") or ""
            for event in events
            for choice in event.get("choices") or ()
            if choice.get("delta")
        ),
        error,
        next((str(event["model"]) for event in reversed(events) if event.get("model")), ""),
        next((event["usage"] for event in events if event.get("usage")), None),
        "[DONE]" in reply.events,
        first_s,
    )
