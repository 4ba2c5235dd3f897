"""The composition root: starting, taking over a policy, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.app import Gateway, compiled, digest_of, tls_context
from gateway.config import Config, examine_text
from gateway.data_files import newest_table
from gateway.errors import StartError
from gateway.prices.table import day_s
from policies.breaker import Phase
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


KEY = "sk-a-key-for-tests-only-0123456789"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A gateway takes over the process's logging; a test gives it back."""
    Config.model_rebuild()  # now, as it reads files
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def policy(folder: Path, **changes: object) -> Config:
    tree = {
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": "r", "targets": ["a"]}],
        "keys": [{"name": "k", "secret": KEY}],
    } | changes
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


async def test_a_gateway_starts_with_its_policy_and_closes(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    generation = gateway.generation
    assert generation.number == 1
    assert generation.keys is not None
    assert generation.index.exact["r"].route is generation.routes[0]
    assert generation.upstreams["a"].ready
    await gateway.close()
    assert not generation.upstreams["a"].ready
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600


async def test_a_reload_takes_over_whole_and_keeps_what_did_not_change(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    old = gateway.generation
    await gateway.reload(policy(tmp_path, routes=[{"model": "s", "targets": ["a"]}]))
    assert "r" not in gateway.generation.index.exact
    assert "s" in gateway.generation.index.exact
    assert gateway.generation.upstreams["a"] is old.upstreams["a"]
    assert gateway.generation.digest != old.digest
    await gateway.close()


async def test_probes_follow_the_policy_and_end_with_the_gateway(tmp_path: Path) -> None:
    probed = {"a": {"provider": "p", "model": "m", "health": {"interval": "1h"}}}
    gateway = await Gateway.start(policy(tmp_path, deployments=probed))
    assert gateway._probes.watched == {"a"}
    await gateway.reload(policy(tmp_path))
    assert gateway._probes.watched == frozenset()
    await gateway.reload(policy(tmp_path, deployments=probed))
    await gateway.close()
    assert gateway._probes.watched == frozenset()


async def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    old = gateway.generation
    broken = policy(
        tmp_path,
        providers={"p": {"kind": "llama_cpp", "model_path": str(tmp_path / "no.gguf")}},
        deployments={"a": {"provider": "p"}},
    )
    with pytest.raises(StartError):
        await gateway.reload(broken)
    assert gateway.generation is old
    assert old.upstreams["a"].ready
    await gateway.close()


async def test_what_a_reload_replaced_closes_after_the_last_call_that_uses_it(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    old = gateway.generation
    old.in_use.calls += 1
    other = {"p": {"kind": "openai", "base_url": "http://127.0.0.1:2/v1", "api_key": "none"}}
    await gateway.reload(policy(tmp_path, providers=other))
    assert old.upstreams["a"].ready, "a call is still using it"
    retiring = list(gateway._retiring)
    old.in_use.release()
    for task in retiring:
        await task
    assert not old.upstreams["a"].ready
    await gateway.close()


async def test_a_call_keeps_what_it_uses_through_any_number_of_reloads(tmp_path: Path) -> None:
    """It is pinned to the first policy, its upstream was kept by the second, and the third drops it."""
    gateway = await Gateway.start(policy(tmp_path))
    first = gateway.generation
    first.in_use.calls += 1
    await gateway.reload(policy(tmp_path, routes=[{"model": "s", "targets": ["a"]}]))
    assert gateway.generation.upstreams["a"] is first.upstreams["a"]
    other = {"p": {"kind": "openai", "base_url": "http://127.0.0.1:2/v1", "api_key": "none"}}
    await gateway.reload(policy(tmp_path, providers=other))
    retiring = list(gateway._retiring)
    for _ in range(9):
        await asyncio.sleep(0)
    assert first.upstreams["a"].ready, "a call is still using it"
    first.in_use.release()
    await asyncio.gather(*retiring)
    assert not first.upstreams["a"].ready
    assert gateway.generation.upstreams["a"].ready
    await gateway.close()


async def test_closing_closes_what_a_reload_left_in_use(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    first = gateway.generation
    first.in_use.calls += 1
    other = {"p": {"kind": "openai", "base_url": "http://127.0.0.1:2/v1", "api_key": "none"}}
    await gateway.reload(policy(tmp_path, providers=other))
    await asyncio.sleep(0)
    await gateway.close()
    assert not first.upstreams["a"].ready


async def test_a_deployment_that_is_reached_in_a_new_way_begins_anew(tmp_path: Path) -> None:
    """An operator who mends a provider need not wait for the breaker that the old one opened."""
    gateway = await Gateway.start(policy(tmp_path))
    gateway.fleet.lease(gateway.generation.deployments["a"]).fail(Failure(FailureKind.STATUS, status=401))
    assert gateway.fleet.state_of(gateway.generation.deployments["a"]).phase is Phase.OPEN
    await gateway.reload(policy(tmp_path, routes=[{"model": "s", "targets": ["a"]}]))
    assert gateway.fleet.state_of(gateway.generation.deployments["a"]).phase is Phase.OPEN
    mended = {"p": {"kind": "openai", "base_url": "http://127.0.0.1:2/v1", "api_key": "none"}}
    await gateway.reload(policy(tmp_path, providers=mended))
    assert gateway.fleet.state_of(gateway.generation.deployments["a"]).phase is Phase.CLOSED
    await gateway.close()


async def test_other_prices_leave_connections_and_breakers_alone(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    before = gateway.generation
    dearer = {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none", "margin": "100%"}}
    priced = {"a": {"provider": "p", "model": "m", "price": {"input": 1}}}
    await gateway.reload(policy(tmp_path, providers=dearer, deployments=priced))
    after = gateway.generation
    assert after.upstreams["a"] is before.upstreams["a"]
    price = after.deployments["a"].price
    assert price is not None
    assert price.input_nanousd == 2 * 10**9
    assert after.prices_date == newest_table("prices").stem.removeprefix("prices-")
    await gateway.close()


def test_prices_are_those_of_a_moment(tmp_path: Path) -> None:
    changing = {"input": 1, "from": "2026-12-01", "then": {"input": 2}}
    config = policy(tmp_path, deployments={"a": {"provider": "p", "model": "m", "price": changing}})
    for day, rate in (("2026-11-30", 10**9), ("2026-12-01", 2 * 10**9)):
        price = compiled(config, day_s(day)).deployments["a"].price
        assert price is not None
        assert price.input_nanousd == rate


async def test_a_price_table_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    config = await asyncio.to_thread(policy, tmp_path, prices={"file": "nowhere.json"})
    with pytest.raises(StartError, match=r"prices\.file"):
        await Gateway.start(config)


def test_a_broken_line_that_is_needed_stops_the_start(tmp_path: Path) -> None:
    shipped = newest_table("prices").read_bytes()
    (tmp_path / "own.json").write_bytes(shipped.replace(b'"gpt-4o":{"input":2.5', b'"gpt-4o":{"input":-2.5'))
    openai = {"p": {"kind": "openai", "api_key": "none"}}
    config = policy(tmp_path, prices={"file": "own.json"}, providers=openai)
    assert compiled(config).deployments["a"].price is None
    needed = policy(
        tmp_path, prices={"file": "own.json"}, providers=openai, deployments={"a": {"provider": "p", "model": "gpt-4o"}}
    )
    with pytest.raises(StartError, match=r"prices: the table of .* has a rate that cannot be: input -2\.5"):
        compiled(needed)


async def test_a_ledger_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is no database, and long enough to be seen as none" * 20)
    with pytest.raises(StartError, match="ledger"):
        await Gateway.start(policy(tmp_path))


def test_the_digest_tells_policies_apart_and_holds_no_secret(tmp_path: Path) -> None:
    one, same = policy(tmp_path), policy(tmp_path)
    other = policy(tmp_path, routes=[{"model": "s", "targets": ["a"]}])
    assert digest_of(one) == digest_of(same) != digest_of(other)
    assert len(digest_of(one)) == 12


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    tls = {"cert": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.key")}
    with pytest.raises(StartError, match=r"server\.tls"):
        tls_context(policy(tmp_path, server={"tls": tls}))
    assert tls_context(policy(tmp_path)) is None


async def test_a_reload_that_would_only_half_apply_is_refused(tmp_path: Path) -> None:
    gateway = await Gateway.start(policy(tmp_path))
    old = gateway.generation
    moved = policy(tmp_path, server={"listen": "127.0.0.1:1"}, ledger={"url": f"sqlite:///{tmp_path / 'other.db'}"})
    with pytest.raises(StartError, match=r"^server\.listen, ledger: .*restart"):
        await gateway.reload(moved)
    with pytest.raises(StartError, match=r"^secrets\.admin_token: .*restart"):
        await gateway.reload(policy(tmp_path, secrets={"admin_token": "a-token-of-twenty-characters"}))
    assert gateway.generation is old
    await gateway.reload(policy(tmp_path, server={"drain": "1s", "max_body": "1KiB"}))
    assert gateway.generation.config.server.max_body_bytes == 1024
    await gateway.close()
