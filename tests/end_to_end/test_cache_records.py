"""What is on the books of calls that a cache answered, and what operators see and do, in a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from tests.end_to_end.cached_service import ask, sdk, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

TOKEN = "the-operators-own-token-0123456789"


async def command(gateway: GatewayProcess, *words: str) -> str:
    """The command line against this gateway."""
    url = () if "usage" in words else ("--url", f"http://127.0.0.1:{gateway.admin_port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, *url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"POINTSMAN_ADMIN_TOKEN": TOKEN},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_a_hit_costs_nothing_and_its_row_says_what_it_saved(tmp_path: Path) -> None:
    async with serving(tmp_path, secrets={"admin_token": TOKEN}) as (gateway, upstream):
        async with sdk(gateway) as client:
            missed, hit = await ask(client), await ask(client, "please, how do I log in")
            alone = await ask(client, temperature=1.0)
            streamed = await ask(client, stream=True)
        assert [one.result for one in (missed, hit, alone, streamed)] == ["miss", "hit", "bypass", "hit"]
        assert len(upstream.requests) == 2
        rows = {row["request_id"]: row for row in await gateway.rows(4)}
        first, second, third = rows[missed.request_id], rows[hit.request_id], rows[streamed.request_id]
        assert (first["attempt"], first["cache_level"], first["saved_nanousd"]) == (1, None, None)
        assert (second["attempt"], second["outcome"], second["cache_level"]) == (0, "cache_hit", "near")
        assert (second["cost_nanousd"], second["input_tokens"], second["output_tokens"]) == (0, 0, 0)
        assert (third["cache_level"], third["stream"]) == ("exact", 1)
        used = first["input_tokens"] + first["output_tokens"]
        assert used > 0
        assert [one["saved_tokens"] for one in (second, third)] == [used] * 2
        assert [one["saved_nanousd"] for one in (second, third)] == [first["cost_nanousd"]] * 2
        where = ("deployment", "provider", "model", "route", "key_name", "team")
        assert [second[name] for name in where] == [first[name] for name in where]
        usage = json.loads(await command(gateway, "usage", "--ledger", str(tmp_path / "ledger.db"), "--json"))["total"]
        assert (usage["requests"], usage["attempts"], usage["cache_hits"]) == (4, 2, 2)
        assert usage["saved_tokens"] == 2 * used


async def test_operators_see_explain_drop_and_move_what_is_cached(tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    async with serving(tmp_path, secrets={"admin_token": TOKEN}) as (gateway, upstream):
        async with sdk(gateway) as client:
            for question in ("Why?", "Why?", "How so?"):
                await ask(client, question)
            told = json.loads(await command(gateway, "cache", "stats", "--json"))
            assert (told["store"]["kind"], told["store"]["entries"]) == ("memory", 2)
            (route,) = told["routes"]
            assert (route["hits"], route["misses"]) == ({"exact": 1}, 2)
            await command(gateway, "cache", "export", "--out", str(out))
            assert len(out.read_text().splitlines()) == 3
            assert "2 answers are gone" in await command(gateway, "cache", "drop", "--all")
            assert (await ask(client, "Why?")).result == "miss"
            assert "1 answer is gone" in await command(gateway, "cache", "drop", "--route", route["route"])
            assert "2 answers taken over, 0 refused" in await command(gateway, "cache", "import", str(out))
            assert (await ask(client, "How so?")).result == "hit"
        assert len(upstream.requests) == 3
