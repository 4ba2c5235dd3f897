from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.lifecycle import Lifecycle
from gateway.replays import Replays
from gateway.secret import Secret
from gateway.signals.metrics import Registry
from gateway.state.replays.in_process import InProcessReplays
from gateway.state.replays.shared import SharedReplays
from gateway.state.replays.store import Claimed, Outcome, Slot

if TYPE_CHECKING:
    from gateway.config import Config

SLOT = Slot("acme", "k", b"q" * 32)


def config(url: str = "memory://", bytes_max: int = 1 << 20) -> Config:
    return cast(
        "Config",
        SimpleNamespace(
            state=SimpleNamespace(is_shared=url != "memory://", url=Secret(url)),
            server=SimpleNamespace(idempotency=SimpleNamespace(ttl_s=60.0, bytes_max=bytes_max)),
        ),
    )


def samples(registry: Registry) -> dict[str, Any]:
    return {taken.family.name: taken.values for taken in registry.snapshot()}


async def test_outcomes_are_kept_where_limits_are() -> None:
    for url, kind in (("memory://", InProcessReplays), ("redis://127.0.0.1:1", SharedReplays)):
        replays = Replays(config(url), lambda url=url: config(url), Lifecycle(), Registry())  # type: ignore[misc]
        await replays.start()
        assert isinstance(replays.store, kind)
        await replays.close()


@pytest.mark.parametrize(("bytes_max", "left_bytes"), [(1 << 20, 356), (100, 0)])
async def test_a_reload_changes_the_room(bytes_max: int, left_bytes: int) -> None:
    current, registry = [config()], Registry()
    replays = Replays(current[0], lambda: current[0], Lifecycle(), registry)
    current[0] = config(bytes_max=bytes_max)
    assert isinstance(await replays.store.claim(SLOT), Claimed)
    await replays.store.keep(SLOT, Outcome("req_1", body=b"x" * 100))
    assert samples(registry)["pointsman_idempotent_answers_bytes"] == [((), left_bytes)]


async def test_what_became_of_repetitions_is_counted() -> None:
    registry = Registry()
    replays = Replays(config(), config, Lifecycle(), registry)
    replays.stage.counts["joined"] = 3
    assert samples(registry)["pointsman_idempotent_replays_total"] == [(("joined",), 3)]
