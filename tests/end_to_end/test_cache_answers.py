"""Routes with a cache, as the OpenAI SDK sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from openai import APIStatusError

from gateway.extras import SEMANTIC, is_installed
from tests.end_to_end.cached_service import LOGIN, ask, embedder_is_up, sdk, serving
from tests.openai_upstream import TEXT

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_answer_is_given_again_whole_or_as_a_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, upstream), sdk(gateway) as client:
        made, again, near = await ask(client), await ask(client), await ask(client, "how do i  log in")
        stream = await ask(client, stream=True, stream_options={"include_usage": True})
        other = await ask(client, "How do I log out?")
        assert len(upstream.requests) == 2
        assert await gateway.stop() == 0
        rows = gateway.ledger()
    assert [one.result for one in (made, again, near, stream, other)] == ["miss", "hit", "hit", "hit", "miss"]
    assert [one.cache.get("level") for one in (again, near, stream)] == ["exact", "near", "exact"]
    assert {one.text for one in (made, again, near, stream)} == {TEXT}
    assert {one.cache["id"] for one in (made, again, near, stream)} == {made.cache["id"]}
    assert len({one.id for one in (made, again, near, stream)}) == 4, "clients put together what has the same id"
    by_request = {row["request_id"]: row for row in rows}
    assert by_request[made.request_id]["cost_nanousd"] > 0
    for hit in (again, near, stream):
        row = by_request[hit.request_id]
        assert (row["cost_nanousd"], row["saved_nanousd"]) == (0, by_request[made.request_id]["cost_nanousd"])


async def test_a_stream_is_kept_for_those_who_want_it_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, upstream), sdk(gateway) as client:
        made, whole = await ask(client, stream=True), await ask(client)
        assert len(upstream.requests) == 1
    assert (made.result, whole.result, made.text, whole.text) == ("miss", "hit", TEXT, TEXT)


async def test_callers_say_what_they_want_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, upstream), sdk(gateway) as client:
        with pytest.raises(APIStatusError) as refused:
            await ask(client, headers={"Cache-Control": "only-if-cached"})
        assert refused.value.status_code == 504
        assert refused.value.body is not None
        assert refused.value.response.headers["x-pointsman-cache"] == "miss"
        left = await ask(client, headers={"Cache-Control": "no-store"})
        made = await ask(client)
        fresh = await ask(client, headers={"Cache-Control": "no-cache"})
        young = await ask(client, headers={"Cache-Control": "max-age=60"})
        old = await ask(client, headers={"Cache-Control": "max-age=0"})
        warm = await ask(client, temperature=1.0)
        assert len(upstream.requests) == 5
    assert (left.result, left.cache) == ("bypass", {"reason": "no_store"})
    assert [one.result for one in (made, fresh, young)] == ["miss", "miss", "hit"]
    assert young.cache["id"] == fresh.cache["id"] != made.cache["id"]
    assert old.result == "miss"
    assert (warm.result, warm.cache) == ("bypass", {"reason": "temperature"})


async def test_a_bad_answer_is_reported_and_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, upstream), sdk(gateway) as client:
        made, hit = await ask(client), await ask(client)
        feedback = "/cache/feedback"
        said = await client.post(feedback, body={"request_id": hit.request_id, "verdict": "good"}, cast_to=object)
        assert said == {"id": made.cache["id"], "verdict": "good", "evicted": False}
        said = await client.post(feedback, body={"id": made.cache["id"], "verdict": "bad"}, cast_to=object)
        assert said == {"id": made.cache["id"], "verdict": "bad", "evicted": True}
        assert (await ask(client)).result == "miss"
        with pytest.raises(APIStatusError) as unknown:
            await client.post(feedback, body={"id": made.cache["id"], "verdict": "bad"}, cast_to=object)
        with pytest.raises(APIStatusError) as wrong:
            await client.get(feedback, cast_to=object)
        assert [unknown.value.status_code, wrong.value.status_code] == [404, 405]
        assert len(upstream.requests) == 2


async def test_a_route_without_a_cache_says_nothing_of_one(tmp_path: Path) -> None:
    async with serving(tmp_path, cache=False) as (gateway, _), sdk(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": LOGIN}]
        )
        assert "x-pointsman-cache" not in raw.headers
        assert "pointsman_cache" not in (await gateway.admin("/metrics"))[1]


@pytest.mark.skipif(not is_installed(SEMANTIC), reason="the extra semantic is not installed")
async def test_other_words_for_the_same_get_the_same_and_other_questions_do_not(tmp_path: Path) -> None:
    cache = {"semantic": {"max_false_hits": "20%", "shadow": True}}
    async with serving(tmp_path, cache=cache) as (gateway, upstream), sdk(gateway) as client:
        await embedder_is_up(gateway)
        made = await ask(client, "How do I reset my password?")
        alike = await ask(client, "How can I reset my password?")
        numbers = [await ask(client, f"What is the capital of country {number}?") for number in (17, 18)]
        today = [await ask(client, text) for text in ("What is the news today?", "What's the news today?")]
        asked = len(upstream.requests)
    assert (made.result, alike.result, alike.cache["level"]) == ("miss", "hit", "semantic")
    assert 0.0 < float(alike.cache["p"]) < 1.0
    assert [one.result for one in (*numbers, *today)] == ["miss"] * 4
    assert [one.cache.get("closed") for one in today] == ["time", "time"]
    assert asked >= 5, "a shadow check may have asked once more"
