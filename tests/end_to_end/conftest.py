"""The gateway process that real clients talk to, and the OpenAI-like provider behind it.

Both live on an event loop of their own thread, so that a test may be an ordinary blocking program, as callers' are.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from tests.gateway_process import KEY, gateway_process
from tests.openai_upstream import MODELS, STATUSES, speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Received

UPSTREAM_KEY = "sk-upstream-canary-0123456789"
NARROW_KEY = "sk-may-use-one-model-only-0123456789"
EXPIRED_KEY = "sk-was-good-until-2020-0123456789"


@dataclass(frozen=True)
class Service:
    """A gateway with its provider. Both have `/v1` in their URLs, as SDKs want it."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream
    portal: BlockingPortal
    onward: asyncio.Event

    @property
    def base_url(self) -> str:
        return self.gateway.base_url

    @property
    def direct_url(self) -> str:
        return f"{self.upstream.url}/v1"

    @property
    def last(self) -> Received:
        """What the provider was sent last."""
        return self.upstream.requests[-1]

    def ledger_rows(self, request_id: str | None) -> list[dict[str, Any]]:
        """The rows of one request, once they are written."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found[:] = [row for row in self.gateway.ledger() if row["request_id"] == request_id]
            return bool(found)

        assert eventually(arrived, 5.0)
        return found

    def hung_up_within(self, limit_s: float) -> bool:
        """Whether the provider's latest connection loses its caller in time."""
        return eventually(self.upstream.connections[self.last.connection].hung_up.is_set, limit_s)


def eventually(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether `holds` becomes true in time. What is watched lives in another thread or process."""
    until_s = time.monotonic() + within_s
    while not (held := holds()) and time.monotonic() < until_s:
        time.sleep(0.01)
    return held


def policy(url: str) -> dict[str, Any]:
    """A route and a deployment for each of the provider's models, under the provider's own names."""
    models = [*MODELS, *(f"status-{status}" for status in STATUSES)]
    price = {"input": 0.25, "cached_input": 0.025, "output": 2.0}
    return {
        "providers": {"openai": {"kind": "openai", "base_url": f"{url}/v1", "api_key": UPSTREAM_KEY}},
        "deployments": {model: {"provider": "openai", "model": model, "price": price} for model in models},
        "routes": [{"model": model, "targets": [model], "retry": {"attempts": 1}} for model in models],
        "keys": [
            {"name": "tests", "secret": KEY},
            {"name": "narrow", "secret": NARROW_KEY, "routes": ["gpt-5-mini"]},
            {"name": "expired", "secret": EXPIRED_KEY, "expires": "2020-01-01"},
        ],
    }


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    onward = asyncio.Event()
    upstream = ScriptedUpstream().otherwise(forever(speaks_openai(onward)))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(upstream):
        process = gateway_process(policy(upstream.url), tmp_path_factory.mktemp("service"))
        with portal.wrap_async_context_manager(process) as gateway:
            yield Service(gateway, upstream, portal, onward)
