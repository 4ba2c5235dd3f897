from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import limit_service
from gateway.config.storage import StateSettings
from gateway.errors import MissingExtra
from gateway.exposition import render
from gateway.limit_service import LimitService, store_of
from gateway.metrics import Registry
from gateway.state.limit_store_guarded import GuardedLimitStore
from gateway.state.limit_store_in_process import InProcessLimitStore
from tests.gateway.limited_calls import Spent


def settings(**of: object) -> StateSettings:
    return StateSettings.model_validate(of)


async def test_state_in_memory_is_kept_in_process() -> None:
    registry = Registry()
    reporting = SimpleNamespace(registry=registry, ledger=Spent(), counter=None)
    service = LimitService(
        cast("Any", SimpleNamespace(state=settings(), server=SimpleNamespace(workers=1))), cast("Any", reporting)
    )
    assert isinstance(service.store, InProcessLimitStore)
    await service.start()
    await service.close()
    assert "pointsman_limit_reservations 0" in render(registry.snapshot()).decode()


def test_shared_state_is_guarded_and_counted() -> None:
    registry = Registry()
    store = store_of(settings(url="redis://127.0.0.1:1/0", nodes=2, when_down="closed"), 1, registry)
    assert isinstance(store, GuardedLimitStore)
    text = render(registry.snapshot()).decode()
    for name in ("degraded", "failures_total"):
        assert f"pointsman_limit_store_{name} 0" in text


def test_shared_state_needs_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise MissingExtra("redis")

    monkeypatch.setattr(limit_service, "require", refuse)
    with pytest.raises(MissingExtra):
        store_of(settings(url="redis://127.0.0.1:1/0"), 1, Registry())
