"""What a policy file says of caches, from end to end: where answers and vectors lie, by what questions are compared,
who is left out, what operators drop, and what is told when hits turn out to be wrong.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config.model_file import model_file
from gateway.extras import ENCRYPTION, LLAMA, QDRANT, SEMANTIC, is_installed
from tests.end_to_end.cached_service import (
    LOGIN,
    TOKEN,
    admin,
    ask,
    counting,
    embedder_is_up,
    found,
    metric,
    policy,
    reload,
    sdk,
    serving,
)
from tests.gateway_process import gateway_process
from tests.openai_upstream import TEXT
from tests.postgres_server import pgvector_server
from tests.redis_servers import redis_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

MINILM = "package:all_minilm_l6_v2"
ASKED, ALIKE = "How do I reset my password?", "How can I reset my password?"
BY_MEANING: dict[str, Any] = {"semantic": {"max_false_hits": "20%"}}
KEYS = {name: f"sk-{name}-0123456789-0123456789" for name in ("acme", "other")}
ADMIN: dict[str, Any] = {"secrets": {"admin_token": TOKEN, "pepper": "p" * 40}}

needs_semantic = pytest.mark.skipif(not is_installed(SEMANTIC), reason="the extra semantic is not installed")


async def results(gateway: GatewayProcess, key: str, *questions: str, **more: Any) -> list[str]:
    async with sdk(gateway, key) as client:
        return [(await ask(client, question, **more)).result for question in questions]


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "redis"])
async def test_operators_drop_by_tag_route_tenant_and_time(tmp_path: Path, shared: bool) -> None:  # noqa: FBT001 - a parameter
    keys = [{"name": name, "secret": secret, "org": name} for name, secret in KEYS.items()]
    state = {"state": {"url": f"{redis_server().url}/6"}} if shared else {}
    more: dict[str, Any] = {"orgs": {name: {} for name in KEYS}, "keys": keys, **ADMIN, **state}
    async with serving(tmp_path, {"tags": ["faq"]}, **more) as (gateway, _):

        async def left(**which: Any) -> list[str]:
            """Whose answers are still kept, once each owner's two were there and `which` was dropped."""
            for key in KEYS.values():
                await results(gateway, key, "One?", "Two?", headers={"x-pointsman-cache-tags": f"by-{key[3:6]}"})
            async with asyncio.timeout(5.0):  # answers are kept behind their calls
                while len((await admin(gateway, "GET", "cache/entries"))["entries"]) < 4:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.02)
            told = await admin(gateway, "POST", "cache/invalidate", which)
            kept = (await admin(gateway, "GET", "cache/entries"))["entries"]
            assert told["dropped"] == 4 - len(kept)
            return sorted(entry["owner"].partition(":")[2].partition("/")[0] for entry in kept)

        assert await left(tag="by-acm") == ["other"] * 2
        assert await left(tag="faq") == []
        assert await left(org="other") == ["acme"] * 2
        assert await left(route="m") == []
        assert await left(stored_before_ms=1) == ["acme"] * 2 + ["other"] * 2
        assert await left(stored_before_ms=4_000_000_000_000) == []
        assert await results(gateway, KEYS["acme"], "One?") == ["miss"]


@pytest.mark.skipif(not is_installed(ENCRYPTION), reason="the extra encryption is not installed")
async def test_a_sealed_file_is_read_by_the_next_start_and_by_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "cache.db"
    cache = {"file": str(file), "encryption_key": "a-key-of-the-operator-0123456789"}
    secrets = {"secrets": {"pepper": "p" * 40}}
    async with counting() as upstream:
        sealed = policy(upstream.url) | {"cache": cache} | secrets
        for expected in ("miss", "hit"):
            async with gateway_process(sealed, tmp_path) as gateway, sdk(gateway) as client:
                said = await ask(client)
                assert (said.result, said.text) == (expected, TEXT)
        written = file.read_bytes()
        assert written
        assert TEXT.encode() not in written
        assert LOGIN.encode() not in written
        other = sealed | {"cache": cache | {"encryption_key": "another-key-entirely-0123456789"}}
        async with gateway_process(other, tmp_path) as gateway, sdk(gateway) as client:
            assert (await ask(client)).result == "miss"


@needs_semantic
@pytest.mark.parametrize("kind", ["qdrant", "pgvector"])
async def test_vectors_lie_in_the_database_that_the_policy_names(tmp_path: Path, kind: str) -> None:
    if kind == "qdrant" and not is_installed(QDRANT):
        pytest.skip("the extra qdrant is not installed")
    url = f"file:{tmp_path / 'vectors'}" if kind == "qdrant" else pgvector_server().fresh_url()
    top = {"vectors": {kind: url}, "file": str(tmp_path / "cache.db")}
    async with counting() as upstream:
        kept = policy(upstream.url, BY_MEANING) | {"cache": top} | {"secrets": {"pepper": "p" * 40}}
        async with gateway_process(kept, tmp_path) as gateway, sdk(gateway) as client:
            await embedder_is_up(gateway)
            assert (await ask(client, ASKED)).result == "miss"
            assert (await found(client, ALIKE)).cache["level"] == "semantic"


@pytest.mark.skipif(not is_installed(LLAMA), reason="the extra llama is not installed")
@needs_semantic
async def test_a_model_of_the_bundled_engine_compares_questions(tmp_path: Path) -> None:
    try:
        model_file(MINILM)
    except FileNotFoundError as error:
        pytest.skip(f"no embedding model: {error}")
    async with counting() as upstream:
        made = policy(upstream.url, {"semantic": {"max_false_hits": "20%"}})
        made["providers"]["engine"] = {"kind": "llama_cpp", "model_path": MINILM, "threads": 1}
        made["deployments"]["minilm"] = {"provider": "engine", "model": "all-minilm-l6-v2"}
        made["cache"] = {"embedder": {"deployment": "minilm", "window_tokens": 512}}
        async with gateway_process(made, tmp_path) as gateway, sdk(gateway) as client:
            first = await ask(client, "How can I reset the password of my account?")
            alike = await ask(client, "How can I reset the password for my account?")
            other = await ask(client, "What does a canary eat in winter?")
            assert await gateway.stop() == 0
        rows = [row for row in gateway.ledger() if row["key_name"] == "cache:embedding"]
    assert [first.result, alike.result, other.result] == ["miss", "hit", "miss"]
    assert alike.cache["level"] == "semantic"
    assert [row["deployment"] for row in rows] == ["minilm"] * 3


async def test_a_reload_gives_a_route_its_cache_and_takes_it_away(tmp_path: Path) -> None:
    async with counting() as upstream:
        without, with_one = (policy(upstream.url, cache) for cache in (False, True))
        async with gateway_process(without, tmp_path) as gateway, sdk(gateway) as client:
            await reload(gateway, with_one)
            assert [(await ask(client)).result for _ in range(2)] == ["miss", "hit"]
            await reload(gateway, without)
            raw = await client.chat.completions.with_raw_response.create(
                model="m", messages=[{"role": "user", "content": LOGIN}]
            )
            assert "x-pointsman-cache" not in raw.headers
            await reload(gateway, with_one)
            assert (await ask(client)).result == "hit", "what was kept before is still true"
        assert len(upstream.requests) == 2


async def test_a_stored_key_is_kept_off_caches(tmp_path: Path) -> None:
    async with serving(tmp_path, {"share": "all"}, **ADMIN) as (gateway, upstream):
        usual = await admin(gateway, "POST", "keys", {"name": "usual"})
        apart = await admin(gateway, "POST", "keys", {"name": "apart", "uses_cache": False})
        assert await results(gateway, usual["secret"], LOGIN, LOGIN) == ["miss", "hit"]
        assert await results(gateway, apart["secret"], LOGIN, LOGIN) == ["bypass", "bypass"]
        assert len(upstream.requests) == 3


@needs_semantic
async def test_reports_of_wrong_hits_raise_the_bar_and_the_metric_that_the_alert_watches(tmp_path: Path) -> None:
    things = ("password", "router", "phone", "alarm", "watch", "oven", "camera", "printer")
    async with serving(tmp_path, {"semantic": {"max_false_hits": "2%"}}) as (gateway, _), sdk(gateway) as client:
        await embedder_is_up(gateway)
        hits = []
        for thing in things:
            await ask(client, f"How do I reset my {thing}?")
            hits.append(await ask(client, f"How can I reset my {thing}?"))
        served = [hit for hit in hits if hit.result == "hit"]
        assert len(served) > len(things) / 2
        observed, budget, bar = "false_hits_observed_max", "false_hit_budget", "risk_bar"
        before = await metric(gateway, f"cache_{bar}")
        assert await metric(gateway, f"cache_{observed}") == 0.0
        for hit in served:
            body = {"request_id": hit.request_id, "verdict": "bad"}
            await client.post("/cache/feedback", body=body, cast_to=object)
        assert await metric(gateway, f"cache_{observed}") > await metric(gateway, f"cache_{budget}") == 0.02
        assert await metric(gateway, f"cache_{bar}") < before / 2
        await ask(client, "How do I reset my kettle?")
        assert (await ask(client, "How can I reset my kettle?")).result == "miss"
