"""Several credentials of one provider: whose turn it is, what becomes of a refused one, and who hears of it.

Each test has a provider of its own, which does with each credential what the test says.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import whole
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, forever, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {"first": "sk-canary-first-0123456789", "second": "sk-canary-second-0123456789"}
NAMES = {key: name for name, key in KEYS.items()}
NO = b'{"error": {"message": "no, sk-canary-first-0123456789 is wrong", "code": "invalid_api_key"}}'
PRICE = {"input": 1, "output": 2}
COOLDOWN_S = 0.5


@dataclass
class Ground:
    """`refusals` says with which status a credential is refused: (provider's model, credential) to status."""

    gateway: GatewayProcess
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    told_not_to_retry: bool = False

    async def ask(self, model: str) -> tuple[int, dict[str, Any]]:
        data = await self.gateway.ask(
            post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "?"}]})
        )
        head, _, body = data.partition(b"\r\n\r\n")
        self.told_not_to_retry = b"\r\nx-should-retry: false" in head
        assert not any(key.encode() in data for key in KEYS.values())
        return int(head.split()[1]), json.loads(body)

    async def shown(self, name: str) -> dict[str, Any]:
        _, body = await self.gateway.admin("/deployments")
        assert not any(key in body for key in KEYS.values())
        (found,) = [one for one in json.loads(body)["deployments"] if one["name"] == name]
        return dict(found)

    def used(self, model: str) -> list[str]:
        return [credential for one, credential in self.asked if one == model]

    async def alarms(self, provider: str, least: int) -> int:
        """How many there were, once there are so many."""
        alarm = f"provider {provider} is set aside"
        async with asyncio.timeout(5):
            while sum(alarm in line for line in self.gateway.text) < least:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
        assert not any(key in line for line in self.gateway.text for key in KEYS.values())
        return sum(alarm in line for line in self.gateway.text)


def policy(url: str) -> dict[str, Any]:
    """A provider for each test, so that none remembers another's refusals; `b` has a second deployment."""
    held = [{"name": name, "key": key} for name, key in KEYS.items()]
    providers = "abcd"
    models = [*providers, "b2"]
    return {
        "providers": {
            name: {
                "kind": "openai",
                "base_url": f"{url}/v1",
                "api_keys": held,
                "breaker": {"credential_cooldown": f"{round(COOLDOWN_S * 1000)}ms"} if name == "d" else {},
            }
            for name in providers
        },
        "deployments": {name: {"provider": name[0], "model": name, "price": PRICE} for name in models},
        "routes": [{"model": name, "targets": [name], "retry": {"attempts": 1}} for name in models],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    folder = tmp_path_factory.mktemp("credentials")
    async with ScriptedUpstream() as far, gateway_process(policy(far.url), folder) as gateway:
        ground = Ground(gateway)

        async def play(peer: Peer) -> None:
            asked = peer.requests[-1]
            model = json.loads(asked.body)["model"]
            credential = NAMES[asked.headers["authorization"].removeprefix("Bearer ")]
            ground.asked.append((model, credential))
            status = ground.refusals.get((model, credential))
            headers = [("retry-after", "30")] if status == 429 else []
            peer.writer.write(answer(whole("hello")) if status is None else answer(NO, status=status, headers=headers))

        far.otherwise(forever(request(), play))
        yield ground


async def test_credentials_take_turns(ground: Ground) -> None:
    for _ in range(6):
        assert (await ground.ask("a"))[0] == 200
    assert sorted(ground.used("a")) == ["first"] * 3 + ["second"] * 3
    assert [one["name"] for one in (await ground.shown("a"))["credentials"]] == ["first", "second"]


async def test_a_refused_credential_costs_no_caller_anything_and_is_an_alarm(ground: Ground) -> None:
    ground.refusals |= {(model, "first"): 401 for model in ("b", "b2")}
    for _ in range(6):
        assert (await ground.ask("b"))[0] == 200
    assert ground.used("b").count("first") == 1
    for _ in range(4):
        assert (await ground.ask("b2"))[0] == 200
    assert ground.used("b2") == ["second"] * 4, "the credential is refused, whatever it is used for"
    assert await ground.alarms("b", 1) == 1
    first, second = (await ground.shown("b2"))["credentials"]
    assert (first["breaker"], second["breaker"]) == ("open", "closed")
    assert 0 < first["set_aside_s"] <= 60
    _, metrics = await ground.gateway.admin("/metrics")
    assert 'pointsman_credential_refused_total{provider="b",credential="first"} 1' in metrics
    assert 'pointsman_credential_state{provider="b",credential="first"} 2' in metrics
    assert 'pointsman_circuit_state{deployment="b"} 0' in metrics


async def test_where_every_credential_is_refused_the_caller_is_not_blamed(ground: Ground) -> None:
    ground.refusals |= {("c", "first"): 401, ("c", "second"): 402}
    for _ in range(5):
        status, body = await ground.ask("c")
        assert (status, body["error"]["code"]) == (502, "upstream_auth_error")
    assert ground.told_not_to_retry, "no wait of seconds mends it"
    assert await ground.alarms("c", 2) == 2, "one for each, not one for each call"
    ground.refusals.clear()
    assert (await ground.ask("c"))[0] == 200, "never eject the last one"


async def test_a_limited_credential_leaves_the_call_to_the_other_and_comes_back_after_its_cooldown(
    ground: Ground,
) -> None:
    ground.refusals[("d", "first")] = 429
    for _ in range(4):
        assert (await ground.ask("d"))[0] == 200
    assert ground.used("d").count("first") == 1
    ground.refusals[("d", "second")] = 401
    status, _ = await ground.ask("d")
    assert status in (429, 502)
    ground.refusals.clear()
    async with asyncio.timeout(5):
        while "second" not in ground.used("d")[-1:]:
            await ground.ask("d")
            await asyncio.sleep(COOLDOWN_S / 5)
