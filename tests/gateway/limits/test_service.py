from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.config.storage import StateSettings
from gateway.errors import MissingExtra
from gateway.limits import service as limit_service
from gateway.limits.service import LimitService, store_of
from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.state.limits.chunk_leases import ChunkLeases
from gateway.state.limits.in_process import InProcessLimitStore
from policies.usage import Usage
from policies.vocabulary import Period
from tests.gateway.limited_calls import Gate, Spent, limit

if TYPE_CHECKING:
    from gateway.state.limits.store import Kept

BUDGET = limit("tokens", 10_000, Period.DAY, "org")


def settings(**of: object) -> StateSettings:
    return StateSettings.model_validate(of)


def service_in_memory(registry: Registry, ledger: Spent) -> LimitService:
    config = SimpleNamespace(state=settings(), server=SimpleNamespace(workers=1))
    reporting = SimpleNamespace(registry=registry, ledger=ledger, counter=None)
    return LimitService(cast("Any", config), cast("Any", reporting))


async def test_state_in_memory_is_kept_in_process() -> None:
    registry = Registry()
    service = service_in_memory(registry, Spent())
    assert isinstance(service.store, InProcessLimitStore)
    await service.start()
    await service.close()
    assert "pointsman_limit_reservations 0" in render(registry.snapshot()).decode()


def test_shared_state_is_guarded_and_counted() -> None:
    registry = Registry()
    store = store_of(settings(url="redis://127.0.0.1:1/0", nodes=2, when_down="closed"), 1, registry)
    assert isinstance(store, ChunkLeases)
    text = render(registry.snapshot()).decode()
    for name in ("degraded", "failures_total"):
        assert f"pointsman_limit_store_{name} 0" in text


def test_shared_state_needs_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise MissingExtra("redis")

    monkeypatch.setattr(limit_service, "require", refuse)
    with pytest.raises(MissingExtra):
        store_of(settings(url="redis://127.0.0.1:1/0"), 1, Registry())


async def served(gate: Gate, service: LimitService, tokens: int) -> Kept:
    """The budget after a call through the service's own admission that used so much of it, and is in the ledger."""
    gate.store, gate.admission = cast("InProcessLimitStore", service.store), service.admission
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, Usage(tokens, 0))
    call.scope.close()
    (kept,) = await service.store.view(["acme"])
    return kept


def shown(registry: Registry) -> tuple[float, float]:
    """The drift and the corrections that a scrape shows."""
    values = {found.family.name: dict(found.values) for found in registry.snapshot()}
    return (
        cast("float", values["pointsman_limit_drift_ratio"][()]),
        cast("float", values["pointsman_limit_corrections_total"][()]),
    )


async def test_a_counter_that_was_tampered_with_shows_as_drift_and_is_put_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.state.limits.reconcile.EVERY_S", 0.001)
    registry, ledger, gate = Registry(), Spent(), Gate(BUDGET)
    service = service_in_memory(registry, ledger)
    kept = await served(gate, service, 80)
    ledger.amounts["acme"] = 80
    assert await service.store.correct(kept, 20)
    await service.start()
    async with asyncio.timeout(5):
        while not service.reconciler.corrections:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
        drift = shown(registry)
        while service.reconciler.drift.ratio:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    await service.close()
    assert drift == (0.75, 1)
    assert shown(registry) == (0, 1)
    assert await service.store.view(["acme"]) == [kept]


async def test_what_calls_under_way_hold_and_use_is_no_drift() -> None:
    registry, ledger, gate = Registry(), Spent(), Gate(BUDGET)
    service = service_in_memory(registry, ledger)
    await served(gate, service, 80)
    ledger.amounts["acme"] = 80
    for tokens in (7, 9):
        call = await gate.admit(gate.call(output_tokens_max=50))
        for _ in range(3):
            await service.reconciler.compare(list(service.admission.budgeted))
        gate.attempt(call, Usage(tokens, 0))
        call.scope.close()
        await service.reconciler.compare(list(service.admission.budgeted))  # its row is still on its way
        ledger.amounts["acme"] += tokens
    for _ in range(3):
        await service.reconciler.compare(list(service.admission.budgeted))
    assert service.reconciler.drift.compared == 1
    assert shown(registry) == (0, 0)
    assert [one.state.used for one in await service.store.view(["acme"])] == [96]


async def test_only_tenants_with_budgets_are_held_against_the_ledger() -> None:
    registry, gate = Registry(), Gate(limit("tokens", 10_000))
    service = service_in_memory(registry, Spent())
    await served(gate, service, 80)
    assert service.admission.budgeted == set()


async def test_tokenizers_are_loaded_ahead_where_limits_weigh_prompts_and_only_there() -> None:
    loaded: list[str] = []

    async def load(encoding: str) -> None:
        loaded.append(encoding)

    config = SimpleNamespace(state=settings(), server=SimpleNamespace(workers=1))
    reporting = SimpleNamespace(registry=Registry(), ledger=Spent(), counter=SimpleNamespace(load=load))
    service = LimitService(cast("Any", config), cast("Any", reporting))
    service.warm([limit("requests", 1, 60.0)], ["gpt-4o"])
    assert service._warming is not None
    await service._warming
    await service.close()
    assert loaded == []
    service.warm([limit("tokens", 1, 60.0)], ["gpt-4o", "gpt-4"])
    await service._warming
    await service.close()
    assert loaded == ["cl100k_base", "o200k_base"]
