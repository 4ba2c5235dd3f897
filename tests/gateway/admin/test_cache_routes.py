from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import pytest

from gateway.admin.answers import Unavailable
from gateway.admin.cache_routes import CACHE, CacheRoutes, org_of
from gateway.admin.cache_shapes import CacheQuery, CacheToDrop
from gateway.admin.gate import ALL
from gateway.admin.routes import Asked, Operator, Permission
from gateway.caching.curves import Curves
from gateway.call import Cached
from gateway.errors import RequestError
from gateway.signals.cache_metrics import CacheMetrics, RouteStanding
from gateway.signals.metrics import Registry
from gateway.state.answers.store import Used
from policies.cache_rules import CacheRules, Level
from policies.vocabulary import Route, Strategy
from tests.gateway.admin.cached_answers import StillStore, an_entry
from tests.gateway.admin.listening import listening

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.server import Inbound
    from gateway.state.answers.store import AnswerStore

FAQ = Route("faq", ("faq",), Strategy.ORDERED, (), cache=CacheRules())
CODE = Route("code", ("code",), Strategy.ORDERED, (), cache=CacheRules())
NOBODY: Any = cast("Inbound", None)


class Home(NamedTuple):
    store: AnswerStore
    metrics: CacheMetrics
    kind: str = "memory"

    @property
    def curves(self) -> Curves:
        return Curves(self.store)

    def standings(self) -> list[RouteStanding]:
        return [RouteStanding("faq", 0.01, 0.2, 500, 90, 0.006, 0.012, 40, 2)]


def a_store() -> StillStore:
    return StillStore(
        an_entry("ce_1"),
        an_entry("ce_2", owner="key:acme/k1", route="code", tags=("t1", "t2"), stored_at_s=2000.0),
        an_entry("ce_3", owner="team:acme2/red", stored_at_s=3000.0),
        an_entry("ce_4", owner="org:acme", route="code", tags=(), stored_at_s=4000.0),
        an_entry("ce_5", owner="all", stored_at_s=5000.0),
    )


async def ask(store: StillStore | None, what: str, query: Any = None, body: Any = None, may: Any = ALL) -> Any:
    home = None if store is None else Home(store.as_store, CacheMetrics(Registry()))
    if home is not None:
        home.metrics.settled(FAQ, Cached(level=Level.NEAR, saved=Used(30, 12, cost_nanousd=700)))
        home.metrics.settled(CODE, Cached())
    routes = {route.path.removeprefix(CACHE): route for route in CacheRoutes(lambda: home).routes()}
    answer = await routes[what].respond(Asked(NOBODY, Operator("op", may), {}, query, body))
    assert answer.status == 200
    return msgspec.json.decode(answer.body)


async def test_stats_tell_of_the_store_and_of_each_route() -> None:
    told = await ask(a_store(), "")
    assert told["store"] == {
        "kind": "memory", "entries": 5, "size_bytes": 9_000, "vectors": None, "evicted": 2, "expired": 0, "unsent": 0,
    }  # fmt: skip
    code, faq = told["routes"]
    assert faq == {
        "route": "faq", "hits": {"near": 1}, "joined": 0, "misses": 0, "bypassed": 0, "saved_nanousd": 700,
        "saved_tokens": 42, "false_hits_max": 0.01, "risk_bar": 0.2, "expected": 0.006, "observed_max": 0.012,
        "labels_good": 40, "labels_bad": 2, "over_budget": True,
    }  # fmt: skip
    assert (code["route"], code["misses"], code["false_hits_max"], code["over_budget"]) == ("code", 1, None, False)


async def test_entries_come_newest_first_and_without_a_word_of_what_was_said() -> None:
    told = (await ask(a_store(), "/entries", CacheQuery(limit=2)))["entries"]
    assert [one["id"] for one in told] == ["ce_5", "ce_4"]
    assert (told[0]["question"], told[0]["answer"]) == (None, None)
    assert (told[0]["hits"], told[0]["good"], told[0]["bad"], told[0]["cost_nanousd"]) == (3, 1, 0, 700)
    assert (told[0]["stored_at_ms"], told[0]["expires_at_ms"]) == (5_000_000, 4_600_000)
    assert "canary" not in str(await ask(a_store(), "/entries", CacheQuery()))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (CacheQuery(route="code"), ["ce_4", "ce_2"]),
        (CacheQuery(owner="team:acme/red"), ["ce_1"]),
        (CacheQuery(tag="t2"), ["ce_2"]),
        (CacheQuery(id="ce_3"), ["ce_3"]),
        (CacheQuery(id="ce_3", route="code"), []),
    ],
)
async def test_entries_are_found_by_what_they_are(query: CacheQuery, ids: list[str]) -> None:
    assert [one["id"] for one in (await ask(a_store(), "/entries", query))["entries"]] == ids


async def test_text_is_shown_to_those_who_may_read_it() -> None:
    query = CacheQuery(id="ce_1", text=True)
    (shown,) = (await ask(a_store(), "/entries", query))["entries"]
    assert (shown["question"], shown["answer"]) == ("What is a canary?", '{"answer": "a bird"}')
    with pytest.raises(RequestError, match="cache:read_text") as refused:
        await ask(a_store(), "/entries", query, may=frozenset({Permission.CACHE_READ}))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (CacheToDrop(id="ce_1"), ["ce_2", "ce_3", "ce_4", "ce_5"]),
        (CacheToDrop(tag="t1"), ["ce_4"]),
        (CacheToDrop(route="code"), ["ce_1", "ce_3", "ce_5"]),
        (CacheToDrop(owner="team:acme/red"), ["ce_2", "ce_3", "ce_4", "ce_5"]),
        (CacheToDrop(org="acme"), ["ce_3", "ce_5"]),
        (CacheToDrop(org="acme", route="code"), ["ce_1", "ce_3", "ce_5"]),
        (CacheToDrop(org="acme", stored_before_ms=2_000_001), ["ce_3", "ce_4", "ce_5"]),
        (CacheToDrop(stored_before_ms=3_000_000), ["ce_3", "ce_4", "ce_5"]),
        (CacheToDrop(stored_before_ms=0), ["ce_1", "ce_2", "ce_3", "ce_4", "ce_5"]),
        (CacheToDrop(all=True), []),
    ],
)
async def test_what_is_said_is_dropped_and_nothing_else(body: CacheToDrop, left: list[str]) -> None:
    store = a_store()
    told = await ask(store, "/invalidate", body=body)
    assert (sorted(store.kept), told["dropped"]) == (left, 5 - len(left))


@pytest.mark.parametrize("body", [CacheToDrop(), CacheToDrop(all=True, route="faq"), CacheToDrop(all=True, org="x")])
async def test_everything_is_dropped_only_by_saying_so_alone(body: CacheToDrop) -> None:
    store = a_store()
    with pytest.raises(RequestError, match="all: true"):
        await ask(store, "/invalidate", body=body)
    assert len(store.kept) == 5


async def test_a_store_that_is_away_is_told() -> None:
    store = a_store()
    store.is_away = True
    for what, query, body in (
        ("", None, None),
        ("/entries", CacheQuery(), None),
        ("/invalidate", None, CacheToDrop(all=True)),
    ):
        with pytest.raises(Unavailable, match="cannot be asked now"):
            await ask(store, what, query, body)


async def test_where_no_route_has_a_cache_there_is_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("GET", CACHE)).body == {"store": None, "routes": []}
        assert (await here.ask("GET", f"{CACHE}/entries?limit=5")).body == {"entries": []}
        assert (await here.ask("POST", f"{CACHE}/invalidate", {"all": True})).body == {"dropped": 0}
        assert (await here.ask("POST", f"{CACHE}/invalidate", {"everything": True})).status == 400
        assert (await here.ask("GET", f"{CACHE}/entries?owner=somebody")).status == 400


@pytest.mark.parametrize(
    ("owner", "org"),
    [("team:acme/red", "acme"), ("org:acme", "acme"), ("key:acme/k/1", "acme"), ("all", None)],
)
def test_an_owner_says_its_tenant(owner: str, org: str | None) -> None:
    assert org_of(owner) == org
