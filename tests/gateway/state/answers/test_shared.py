from __future__ import annotations

import asyncio
import contextlib
import random
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from gateway.state.answers.sealing import Sealing
from gateway.state.answers.store import StoreUnavailable, Which
from policies.cache_eviction import Bounds
from tests.answer_store_suite import OTHER, OWNER, AnswerStoreSuite, Asked, direction, listed
from tests.gateway.state.answers_rig import QUICK, AnswersRig
from tests.redis_servers import own_server, redis_8, redis_cluster, redis_server, sentinels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateway.state.answers.shared import SharedAnswers
    from gateway.state.answers.store import Entry
    from tests.redis_servers import RedisServer


@pytest.fixture
async def rigs() -> AsyncIterator[list[AnswersRig]]:
    made: list[AnswersRig] = []
    yield made
    for rig in made:
        await rig.close()


async def begun(rigs: list[AnswersRig], rig: AnswersRig) -> AnswersRig:
    rigs.append(rig)
    await rig.start()
    return rig


class TestOverRedis7(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_server().url))


class TestOverRedis8(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_8().url))


class TestOverACluster(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_cluster().url))


class TestSealed(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        pytest.importorskip("cryptography")
        return await begun(rigs, AnswersRig(redis_8().url, sealing=Sealing(["a key of the operator's"])))


class TestBehindSentinels:
    async def test_a_failover_is_a_miss_and_then_a_hit_again(self, rigs: list[AnswersRig]) -> None:
        with sentinels() as servers:
            rig = await begun(rigs, AnswersRig(servers.url, timings=QUICK))
            entry = Asked().entry(rig.now_s)
            await rig.stores[0].keep(entry, None)
            await rig.arrived()
            servers.replica.wait_until(lambda: servers.replica.ask("DBSIZE") >= 7)
            servers.master.kill()
            with pytest.raises(StoreUnavailable):
                await rig.stores[0].find(OWNER, entry.exact, b"")
            await found_again(rig.stores[0], entry)


async def found_again(store: SharedAnswers, entry: Entry, within_s: float = 15.0) -> None:
    """Once Redis is back, which nothing announces."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(StoreUnavailable):
                assert await store.find(entry.owner, entry.exact, b"") is not None
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One of the test's own, to be stopped, filled and poisoned."""
    with own_server() as server:
        yield server


async def test_nothing_on_redis_tells_a_sealed_answer(rigs: list[AnswersRig], server: RedisServer) -> None:
    """Neither its text nor its digests, by which a short question could be guessed."""
    pytest.importorskip("cryptography")
    rig = await begun(rigs, AnswersRig(server.url, sealing=Sealing(["a key of the operator's"])))
    entry = Asked("what is the admin password").entry(rig.now_s)
    await rig.stores[0].keep(entry, None)
    await rig.arrived()
    dumps = b"".join([key.encode() + _all_of(server, key) for key in set(server.keys())])
    for secret in (entry.question.encode(), entry.body, entry.exact, b64(entry.exact), entry.scope, entry.near):
        assert secret not in dumps
    assert await rig.stores[1].find(OWNER, entry.exact, b"") is not None


def b64(digest_: bytes) -> bytes:
    return urlsafe_b64encode(digest_)


def _all_of(server: RedisServer, key: str) -> bytes:
    kind = server.ask("TYPE", key)
    read = {b"string": ("GET", key), b"hash": ("HGETALL", key), b"zset": ("ZRANGE", key, 0, -1)}
    return repr(server.ask(*read[kind])).encode() if kind in read else b""


async def test_every_key_has_a_time_to_live(rigs: list[AnswersRig]) -> None:
    server = redis_8()
    rig = await begun(rigs, AnswersRig(server.url))
    entry = Asked().entry(rig.now_s)
    await rig.stores[0].keep(entry, direction(1))
    await rig.stores[0].remember("faq", b"learnt")
    await rig.arrived()
    ttls = {key: ttl for key, ttl in server.keys().items() if key.startswith(f"{rig.namespace}:")}
    assert len(ttls) == 10
    assert all(ttl > 0 for ttl in ttls.values()), ttls


async def test_the_keys_of_an_owner_lie_together(rigs: list[AnswersRig]) -> None:
    server = redis_8()
    rig = await begun(rigs, AnswersRig(server.url))
    await rig.stores[0].keep(Asked(owner="team:{a}%}/b").entry(rig.now_s), direction(1))
    await rig.arrived()
    tags = {key.split("{")[1].split("}")[0] for key in set(server.keys()) if key.startswith(f"{rig.namespace}:")}
    assert tags == {"t:ce_1", "t:team:%7Ba%7D%25%7D/b"}
    assert await rig.stores[1].drop(Which(route="faq")) == 1


class TestPoison:
    """Somebody else writes to Redis: nothing of it is served."""

    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig], server: RedisServer) -> AnswersRig:
        return await begun(rigs, AnswersRig(server.url))

    async def test_an_entry_moved_to_another_owner_is_a_miss(self, rig: AnswersRig, server: RedisServer) -> None:
        await rig.stores[0].keep(Asked().entry(rig.now_s), None)
        await rig.stores[0].keep(Asked(owner=OTHER).entry(rig.now_s, "ce_2"), None)
        await rig.arrived()
        mine, theirs = (_key(server, f"search}}:answers:e:{'ce_1'}"), _key(server, "sales}:answers:e:ce_2"))
        server.ask("HSET", mine, "b", server.ask("HGET", theirs, "b"))
        assert await rig.stores[1].find(OWNER, Asked().exact, Asked().near) is None
        assert await rig.stores[1].get("ce_1") is None
        assert rig.stores[1].refused == 2

    async def test_an_entry_under_another_digest_is_a_miss(self, rig: AnswersRig, server: RedisServer) -> None:
        one, other = Asked("one"), Asked("other")
        await rig.stores[0].keep(one.entry(rig.now_s, "ce_1"), None)
        await rig.stores[0].keep(other.entry(rig.now_s, "ce_2"), None)
        await rig.arrived()
        for kind, digest_ in (("x", one.exact), ("n", one.near)):
            server.ask("SET", _key(server, f"}}:answers:{kind}:{b64(digest_).decode()}"), "ce_2", "EX", 60)
        assert await rig.stores[1].find(OWNER, one.exact, b"") is None
        assert await rig.stores[1].find(OWNER, b"?" * 32, one.near) is None
        assert rig.stores[1].refused == 2

    async def test_a_neighbour_of_another_scope_is_none(self, rigs: list[AnswersRig]) -> None:
        with own_server(is_8=True) as server:
            rig = await begun(rigs, AnswersRig(server.url))
            await rig.stores[0].keep(Asked().entry(rig.now_s), direction(1))
            await rig.stores[0].keep(Asked(scope="t").entry(rig.now_s, "ce_2"), direction(2))
            await rig.arrived()
            blob = direction(1).astype("<f4").tobytes()
            for key in set(server.keys()):
                if ":answers:v:" in key:
                    server.ask("VADD", key, "FP32", blob, "ce_2")
            found = await rig.stores[1].nearest(Asked().place, direction(1), 5)
            assert [one.kept.entry.id for one in found] == ["ce_1"]

    @pytest.mark.parametrize("garbage", [b"", b"\xc1", b"[]", b"\x94\x01\x02\x03\x04", b"\x00" * 1000])
    async def test_what_cannot_be_read_is_a_miss(self, rig: AnswersRig, server: RedisServer, garbage: bytes) -> None:
        await rig.stores[0].keep(Asked().entry(rig.now_s), None)
        await rig.arrived()
        key = _key(server, ":answers:e:ce_1")
        server.ask("HSET", key, "b", garbage)
        assert await rig.stores[1].find(OWNER, Asked().exact, b"") is None
        server.ask("HSET", key, "h", b"-9" * 30)
        assert await rig.stores[1].find(OWNER, Asked().exact, b"") is None
        assert rig.stores[1].refused == 2

    async def test_counts_that_are_none_are_a_miss(self, rig: AnswersRig, server: RedisServer) -> None:
        await rig.stores[0].keep(Asked().entry(rig.now_s), None)
        await rig.arrived()
        server.ask("HSET", _key(server, ":answers:e:ce_1"), "h", "9" * 400)
        assert await rig.stores[1].find(OWNER, Asked().exact, b"") is None

    async def test_keys_of_other_kinds_stop_no_drop(self, rig: AnswersRig, server: RedisServer) -> None:
        await rig.stores[0].keep(Asked().entry(rig.now_s), None)
        await rig.arrived()
        server.ask("HSET", _key(server, ":answers:known"), "ce_1", b"\xc1 no facts")
        server.ask("SET", f"{rig.namespace}:1:{{t:\xff}}:answers:known", "not a hash")
        await rig.stores[1].drop(Which(owner=OWNER))
        assert await rig.stores[0].find(OWNER, Asked().exact, b"") is None


def _key(server: RedisServer, end: str) -> str:
    return next(key for key in set(server.keys()) if key.endswith(end))


async def test_what_redis_lost_of_the_index_is_found_by_nobody(rigs: list[AnswersRig], server: RedisServer) -> None:
    """An entry that a drop would not meet must not be served either."""
    rig = await begun(rigs, AnswersRig(server.url))
    await rig.stores[0].keep(Asked().entry(rig.now_s), None)
    await rig.arrived()
    server.ask("DEL", _key(server, ":answers:known"))
    assert await rig.stores[0].find(OWNER, Asked().exact, Asked().near) is None
    assert await rig.stores[0].get("ce_1") is None
    await rig.stores[0].keep(Asked().entry(rig.now_s, "ce_2"), None)
    await rig.arrived()
    found = await rig.stores[1].find(OWNER, Asked().exact, b"")
    assert found is not None
    assert found.entry.id == "ce_2"


async def test_a_full_redis_keeps_no_more_and_serves_what_it_has(rigs: list[AnswersRig]) -> None:
    with own_server("maxmemory-policy noeviction") as server:
        rig = await begun(rigs, AnswersRig(server.url))
        await rig.stores[0].keep(Asked("first").entry(rig.now_s), None)
        await rig.arrived()
        server.ask("CONFIG", "SET", "maxmemory", "1")
        await rig.stores[0].keep(Asked("second").entry(rig.now_s, "ce_2"), direction(1))
        found = await rig.stores[0].find(OWNER, Asked("first").exact, b"")
        assert found is not None
        rig.stores[0].note(found, hits=1)
        await rig.stores[0].remember("faq", b"state")
        await rig.arrived()
        assert await rig.stores[1].find(OWNER, Asked("second").exact, b"") is None
        assert rig.stores[0].unkept == 1
        assert await rig.stores[1].drop(Which(owner=OWNER)) == 1


async def test_an_owner_has_no_more_than_there_is_room_for(rigs: list[AnswersRig]) -> None:
    """What was of no use for longest goes first."""
    rig = await begun(rigs, AnswersRig(redis_8().url, bounds=Bounds(entries_max=3)))
    store = rig.stores[0]
    for name in ("a", "b", "c"):
        await store.keep(Asked(name).entry(rig.now_s, f"ce_{name}"), direction(ord(name)))
        await rig.pass_time(1.0)
    await rig.arrived()
    found = await store.find(OWNER, Asked("a").exact, b"")
    assert found is not None
    store.note(found, hits=1)
    await rig.arrived()
    await store.keep(Asked("d").entry(rig.now_s, "ce_d"), direction(ord("d")))
    await rig.arrived()
    assert set(await listed(rig.stores[1])) == {"ce_a", "ce_c", "ce_d"}
    near = await rig.stores[1].nearest(Asked().place, direction(ord("b")), 10)
    assert {one.kept.entry.id for one in near} == {"ce_a", "ce_c", "ce_d"}
    assert (await store.stock()).evicted == 1


async def test_bytes_are_bounded_too_and_one_answer_may_not_take_all(rigs: list[AnswersRig]) -> None:
    rig = await begun(rigs, AnswersRig(redis_server().url, bounds=Bounds(bytes_max=80_000)))
    store = rig.stores[0]
    for number in range(20):
        await store.keep(structs.replace(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), body=b"x" * 4_000), None)
    huge = structs.replace(Asked("huge").entry(rig.now_s, "ce_huge"), body=b"x" * 9_000)
    await store.keep(huge, None)
    await rig.arrived()
    stock = await store.stock()
    assert stock.entries is not None
    assert stock.size_bytes is not None
    assert 11 <= stock.entries <= 15
    assert stock.size_bytes <= 80_000
    assert await store.find(OWNER, huge.exact, b"") is None


async def test_owners_together_are_brought_within_the_bounds(rigs: list[AnswersRig]) -> None:
    """Those who have most give; who has little keeps it."""
    rig = await begun(rigs, AnswersRig(redis_server().url, bounds=Bounds(entries_max=10)))
    store = rig.stores[0]
    for owner, count in (("team:a", 9), ("team:b", 8), ("team:c", 2)):
        for number in range(count):
            await store.keep(Asked(str(number), owner=owner).entry(rig.now_s, f"ce_{owner[-1]}{number}"), None)
    await rig.arrived()
    await store._tender.tend()
    assert [len(await listed(store, Which(owner=f"team:{name}"))) for name in "abc"] == [4, 4, 2]


async def test_while_redis_is_away_it_is_said_quickly_and_nothing_waits(
    rigs: list[AnswersRig], server: RedisServer
) -> None:
    rig = await begun(rigs, AnswersRig(server.url, timings=QUICK))
    store, entry = rig.stores[0], Asked().entry(rig.now_s)
    await store.keep(entry, direction(1))
    await rig.arrived()
    with server.stopped():
        async with asyncio.timeout(0.25):
            await store.keep(Asked("b").entry(rig.now_s, "ce_2"), direction(1))
            with pytest.raises(StoreUnavailable):
                await store.find(OWNER, entry.exact, b"")
        for asked in (store.get("ce_1"), store.drop(Which(route="faq")), store.nearest(Asked().place, direction(1), 3)):
            with pytest.raises(StoreUnavailable):
                await asked
        await store.remember("faq", b"x")
        assert await store.recall("faq") is None
    await found_again(store, entry)


async def test_what_is_on_its_way_is_bounded(rigs: list[AnswersRig], server: RedisServer) -> None:
    rig = await begun(rigs, AnswersRig(server.url, timings=QUICK))
    body = b"x" * (1 << 20)
    with server.stopped():
        for number in range(40):
            await rig.stores[0].keep(
                structs.replace(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), body=body), None
            )
        assert rig.stores[0].unkept >= 8
        assert rig.stores[0]._line.unsent < 80


@pytest.mark.parametrize("server", [redis_server, redis_8], ids=["7", "8"])
async def test_callers_that_leave_never_leave_their_answer_to_another(
    rigs: list[AnswersRig], server: Callable[[], RedisServer]
) -> None:
    """Replies come in the order of the commands, so a client that forgets one crosses all later ones. A storm of finds,
    lookups by id and nearest questions, of which many are cancelled at any moment.
    """
    rig = await begun(rigs, AnswersRig(server().url))
    asked = [Asked(str(number), owner=f"team:acme/{number % 5}") for number in range(60)]
    for number, one in enumerate(asked):
        await rig.stores[0].keep(one.entry(rig.now_s, f"ce_{number}"), direction(number))
    await rig.arrived()
    dice = random.Random(4)
    outcomes = {"served": 0, "left": 0}

    async def call(number: int, kind: int) -> None:
        store, one = rig.stores[number % 2], asked[number]
        if kind == 0:
            found = await store.find(one.owner, one.exact, one.near)
        elif kind == 1:
            found = await store.get(f"ce_{number}")
        else:
            found = (await store.nearest(one.place, direction(number), 1))[0].kept
        assert found is not None
        assert found.entry.id == f"ce_{number}"

    for _ in range(12):
        tasks = [asyncio.ensure_future(call(dice.randrange(60), dice.randrange(3))) for _ in range(200)]
        for _ in range(4):
            await asyncio.sleep(dice.random() * 0.002)
            for task in dice.sample(tasks, 25):
                task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, BaseException):
                assert isinstance(done, asyncio.CancelledError), done
                outcomes["left"] += 1
            else:
                outcomes["served"] += 1
    assert min(outcomes.values()) > 100, outcomes
    assert rig.stores[0].refused == rig.stores[1].refused == 0
