"""Two nodes over one database: what is done on one is so on the other, and nothing opens what was closed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.call import no_peer
from gateway.config import Config, examine_text
from gateway.errors import StartError
from gateway.keys.peppers import PepperError
from gateway.keys.service import KeyService
from gateway.keys.virtual_keys import Refusal
from gateway.secret import Secret
from gateway.state.keys.records import KeyChange, ManagedElsewhere, NewKey, Org
from policies.vocabulary import Principal
from tests.postgres_server import postgres_server
from tests.redis_servers import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.keys.view import KeyView

FILED = "a-key-of-the-file-0123456789"


@pytest.fixture(autouse=True)
def built() -> None:
    Config.model_rebuild()  # now, as it reads files


def policy(folder: Path, **changes: Any) -> Config:
    tree = {
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": ["smart", "smart-*"], "targets": ["a"]}],
    } | changes
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


def over(config: Config, section: str, url: str) -> Config:
    """The policy over servers of the tests, which no policy file would be: SQLite for two nodes, and a socket."""
    settings = getattr(config, section)
    return config.model_copy(update={section: settings.model_copy(update={"url": Secret(url)})})


class Node:
    def __init__(self, config: Config) -> None:
        self.service = KeyService(config, lambda: self.view)
        self.view: KeyView = self.service.view(config)

    def asks(self, secret: str) -> Principal | Refusal:
        return self.view.identify(secret, time.time(), no_peer)

    async def becomes(self, secret: str, expected: type[Principal] | Refusal, within_s: float = 1.0) -> None:
        """A caller is answered so within the time, having been answered otherwise at most until then."""
        async with asyncio.timeout(within_s):
            while not self._is(self.asks(secret), expected):  # noqa: ASYNC110 - as a caller sees it
                await asyncio.sleep(0.01)

    @staticmethod
    def _is(found: Principal | Refusal, expected: type[Principal] | Refusal) -> bool:
        return found is expected if isinstance(expected, Refusal) else isinstance(found, Principal)


@asynccontextmanager
async def nodes(config: Config, count: int = 1) -> AsyncIterator[list[Node]]:
    made = [Node(config) for _ in range(count)]
    for node in made:
        await node.service.start(config)
    try:
        yield made
    finally:
        for node in made:
            await node.service.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_is_done_on_one_node_is_so_on_the_other_within_a_second(kind: str, tmp_path: Path) -> None:
    config = policy(tmp_path, secrets={"pepper": "p" * 32} if kind == "postgresql" else {})
    config = over(config, "state", redis_server().url)
    if kind == "postgresql":
        config = over(config, "ledger", postgres_server().fresh_url())
    async with nodes(config, 2) as (one, other):
        assert not other.view.required
        keys = (await one.service.registry()).keys
        issued = await keys.create(NewKey(name="ci", routes=("smart-*",)))
        await one.becomes(issued.secret, Principal)
        await other.becomes(issued.secret, Principal)
        assert other.view.required
        found = other.asks(issued.secret)
        assert isinstance(found, Principal)
        assert found.routes == frozenset({"smart"})
        key_id = issued.key.id
        for change, expected in (
            (lambda: keys.disable(key_id), Refusal.DISABLED),
            (lambda: keys.enable(key_id), Principal),
            (lambda: keys.update(key_id, KeyChange(networks=("10.0.0.0/8",))), Refusal.ADDRESS),
            (lambda: keys.update(key_id, KeyChange(networks=None)), Principal),
        ):
            await change()
            await other.becomes(issued.secret, expected)
        rotated = await keys.rotate(key_id, overlap_s=60)
        await other.becomes(rotated.secret, Principal)
        assert isinstance(other.asks(issued.secret), Principal)
        await keys.rotate(key_id)
        await other.becomes(rotated.secret, Refusal.UNKNOWN)
        await keys.revoke(key_id)
        await asyncio.sleep(0.3)
        assert len(other.service.stored) == 0
        assert other.view.required, "callers need a key though there is none any more"


async def test_a_key_made_elsewhere_is_found_by_its_first_refusal(tmp_path: Path) -> None:
    """Without Redis; the second call of a fresh key is let in, long before the next look is due."""
    config = policy(tmp_path, secrets={"pepper": "p" * 32})
    async with nodes(config, 2) as (one, other):
        issued = await (await one.service.registry()).keys.create(NewKey(name="ci"))
        assert other.asks(issued.secret) is Refusal.UNKNOWN
        await other.becomes(issued.secret, Principal)


async def test_keys_outlive_a_restart_without_a_configured_pepper(tmp_path: Path) -> None:
    config = policy(tmp_path)
    async with nodes(config) as (node,):
        issued = await (await node.service.registry()).keys.create(NewKey(name="ci"))
    async with nodes(config) as (node,):
        assert isinstance(node.asks(issued.secret), Principal)
        assert node.view.required


async def test_a_pepper_that_others_can_read_is_no_start(tmp_path: Path) -> None:
    config = policy(tmp_path)
    async with nodes(config) as (node,):
        await (await node.service.registry()).keys.create(NewKey(name="ci"))
    (tmp_path / "ledger.db.pepper").chmod(0o644)
    node = Node(config)
    with pytest.raises(StartError, match="chmod 600"):
        await node.service.start(config)
    await node.service.close()


async def test_peppers_are_followed_by_newer_ones_and_both_work(tmp_path: Path) -> None:
    async with nodes(policy(tmp_path, secrets={"pepper": "o" * 32})) as (node,):
        old = await (await node.service.registry()).keys.create(NewKey(name="old"))
    async with nodes(policy(tmp_path, secrets={"peppers": ["n" * 32, "o" * 32]})) as (node,):
        new = await (await node.service.registry()).keys.create(NewKey(name="new"))
        await node.service.refresh()
        assert all(isinstance(node.asks(issued.secret), Principal) for issued in (old, new))
    async with nodes(policy(tmp_path, secrets={"pepper": "n" * 32})) as (node,):
        assert node.asks(old.secret) is Refusal.UNKNOWN
        assert isinstance(node.asks(new.secret), Principal)


async def test_whoever_empties_the_store_does_not_open_a_running_gateway(tmp_path: Path) -> None:
    config = policy(tmp_path)
    async with nodes(config) as (node,):
        keys = (await node.service.registry()).keys
        await keys.create(NewKey(name="ci"))
        await node.service.refresh()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            for table in ("key_secrets", "virtual_keys"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of two
            connection.execute("UPDATE key_changes SET revision = 0")
            connection.commit()
        await node.service.refresh()
        assert len(node.service.stored) == 0
        assert node.view.required


async def test_off_loopback_callers_need_a_key_even_where_there_never_was_one(tmp_path: Path) -> None:
    filed = {"keys": [{"name": "k", "secret": FILED}], "server": {"listen": "0.0.0.0:0"}}
    config = policy(tmp_path, **filed)
    assert Node(config.model_copy(update={"keys": ()})).view.required


@pytest.mark.parametrize("has_filed", [True, False])
async def test_a_ledger_that_cannot_be_read_closes_the_gateway_or_leaves_the_files_keys(
    has_filed: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    config = policy(tmp_path, keys=[{"name": "k", "secret": FILED}] if has_filed else [])
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1_000)
    node = Node(config)
    if not has_filed:
        with pytest.raises(StartError, match="cannot be read"):
            await node.service.start(config)
    else:
        await node.service.start(config)
        assert isinstance(node.asks(FILED), Principal)
        assert node.view.required
    await node.service.close()


async def test_the_files_keys_owners_and_time_zones_come_first(tmp_path: Path) -> None:
    config = await asyncio.to_thread(  # time zones lie in files
        policy,
        tmp_path,
        keys=[{"name": "k", "secret": FILED}],
        orgs={"acme": {"timezone": "Asia/Tokyo", "weight": 2}},
        teams={"red": {"org": "acme"}},
    )
    async with nodes(config) as (node,):
        registry = await node.service.registry()
        assert await node.service.registry() is registry
        with pytest.raises(ManagedElsewhere):
            await registry.keys.create(NewKey(name="k"))
        with pytest.raises(ManagedElsewhere):
            await registry.orgs.create(Org(name="acme"))
        await registry.orgs.create(Org(name="stored", timezone="Europe/Berlin", weight=3))
        await registry.keys.create(NewKey(name="ci", org="acme", team="red", limits=({"requests": "60/min"},)))
        await node.service.refresh()
        zone_of = node.service.zone_of(config)
        assert [str(zone_of(org)) for org in ("acme", "stored")] == ["Asia/Tokyo", "Europe/Berlin"]
        assert zone_of("unknown") is UTC
        weight_of = node.service.weight_of(config)
        assert [weight_of(Principal("", "", org=org)) for org in ("acme", "stored", "unknown")] == [2, 3, 1]
        (entry,) = node.service.stored._entries.values()
        assert [limit.amount for limit in entry.principal.limits] == [60]


async def test_when_a_key_was_used_is_known_after_the_end(tmp_path: Path) -> None:
    config = policy(tmp_path)
    async with nodes(config) as (node,):
        issued = await (await node.service.registry()).keys.create(NewKey(name="ci"))
        await node.service.refresh()
        node.asks(issued.secret)
    async with nodes(config) as (node,):
        key = await (await node.service.registry()).keys.get(issued.key.id)
        assert key.last_used_at_ms is not None
        assert abs(key.last_used_at_ms - time.time() * 1000) < 60_000


async def test_a_shared_database_needs_a_pepper_that_all_have(tmp_path: Path) -> None:
    config = over(policy(tmp_path), "ledger", postgres_server().fresh_url())
    async with nodes(config) as (node,):
        keys = (await node.service.registry()).keys
        with pytest.raises(PepperError, match=r"secrets\.pepper"):
            await keys.create(NewKey(name="ci"))
