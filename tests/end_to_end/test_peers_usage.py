"""What other gateways' users report of usage and cost, each as a test of this one: one class of bug a test.

| class of bug | shown here, and beside it |
| --- | --- |
| cached input counted as full input | whole and streamed below; test_openai_usage.py, test_pricing.py |
| a cache write counted twice | whole and streamed below; test_openai_usage.py, test_pricing.py |
| cached input outside the input, undercounted | tests/gateway/litellm/test_stream.py |
| reasoning counted twice, or not at all | whole and streamed below; test_openai_usage.py (beside the completion) |
| a disconnect is free | just before the usage chunk, below; test_peers_limits.py, test_disconnect.py |
| an explicit zero replaced by an estimate | below; tests/gateway/records/test_settlement.py |
| rows lost on one path | each case below has its one row; test_kill.py |
| totals counted twice | running totals and repeated usage, below; test_recorder.py: all sinks agree |
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.end_to_end.limited_ground import Caller, ask, limited, metric, settled
from tests.end_to_end.proving_ground import DONE, ROLE, piece, usage_piece, whole
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, chunk, chunked, forever, head, request, send, stall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scripted_upstream import Peer, Step

USD_PER_M = {"input": 2.5, "cached_input": 0.25, "cache_write": 3.125, "output": 10}
CALLER = Caller("payer", limits=[{"cost": "$1/month"}, {"tokens": "1M/day"}, {"requests": "100/day"}], max_tokens=100)
INPUT, CACHED, WRITE, OUTPUT = 2500, 250, 3125, 10_000  # nano-USD a token
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")


class Case(NamedTuple):
    """What an upstream reports, and what that is: tokens of the row, and what they cost."""

    report: dict[str, Any]
    tokens: tuple[int, int, int, int, int]  # input, cached, written, output, reasoning
    nanousd: int


CASES = {
    "cached input is not full input": Case(
        {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}},
        (1000, 900, 0, 10, 0),
        100 * INPUT + 900 * CACHED + 10 * OUTPUT,
    ),
    "a cache write is not input too": Case(
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "cache_creation_input_tokens": 400,
            "cache_read_input_tokens": 500,
        },
        (1000, 500, 400, 10, 0),
        100 * INPUT + 500 * CACHED + 400 * WRITE + 10 * OUTPUT,
    ),
    "reasoning is output, once": Case(
        {"prompt_tokens": 10, "completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 80}},
        (10, 0, 0, 100, 80),
        10 * INPUT + 100 * OUTPUT,
    ),
    "no output is no output": Case(
        {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}, (10, 0, 0, 0, 0), 10 * INPUT
    ),
}


def reports() -> Step:
    """Answers with the usage that the case named in the prompt reports, and with a running total on the way there."""

    async def step(peer: Peer) -> None:
        body = json.loads(peer.requests[-1].body)
        report = CASES[body["messages"][0]["content"]].report
        if not body.get("stream"):
            await send(answer(whole("some text", usage=report)))(peer)
            return
        running = {"prompt_tokens": report["prompt_tokens"], "completion_tokens": 1}
        pieces = (ROLE, piece("some text"), usage_piece(running), piece(finish="stop"))
        await send(chunked(*pieces, usage_piece(report), usage_piece(report), DONE))(peer)

    return step


def policy(url: str) -> dict[str, Any]:
    made = limited(url, CALLER)
    made["deployments"][CALLER.name]["price"] = USD_PER_M
    return made


async def test_each_token_is_counted_once_and_at_its_own_rate(tmp_path: Path) -> None:
    """What is cached, written or thought is a part of a whole; a repeated or running total adds nothing to the last."""
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), reports()))
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            wanted = [(name, stream) for name in CASES for stream in (False, True)]
            for number, (name, stream) in enumerate(wanted, start=1):
                messages = [{"role": "user", "content": name}]
                assert (await ask(gateway, CALLER, messages=messages, stream=stream)).status == 200
                row = (await gateway.rows(number))[-1]
                kinds = ("input", "cached_input", "cache_write", "output", "reasoning")
                assert tuple(row[f"{kind}_tokens"] for kind in kinds) == CASES[name].tokens, (name, stream)
                assert (row["cost_nanousd"], row["estimated"]) == (CASES[name].nanousd, 0), (name, stream)
            rows = gateway.ledger()
            seen = await settled(gateway)
            shown = await metric(gateway, "pointsman_cost_usd_total")
    assert len(rows) == len(wanted)
    # Ledger, budget, limits and metrics say the same.
    spent = 2 * sum(case.nanousd for case in CASES.values())
    assert sum(row["cost_nanousd"] for row in rows) == seen["payer cost"]["used"] == spent
    assert round(shown * 1e9) == spent
    assert seen["payer tokens"]["used"] == 2 * sum(case.tokens[0] + case.tokens[3] for case in CASES.values())
    assert seen["payer requests"]["used"] == len(wanted)


async def test_who_leaves_just_before_the_usage_chunk_has_bypassed_nothing(tmp_path: Path) -> None:
    """All of the answer is there, the usage is not: callers who hang up then pay nothing elsewhere, again and again."""
    text = "one two three four five six seven eight nine ten"
    async with ScriptedUpstream() as upstream:
        sent = chunk(ROLE + piece(text) + piece(finish="stop"))
        upstream.otherwise(request(), send(SSE + sent), stall())
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            for number in range(1, 6):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.write(CALLER.ask(stream=True))
                await asyncio.wait_for(reader.readuntil(b'"stop"'), 10.0)
                writer.transport.abort()
                rows = await gateway.rows(number)
            seen = await settled(gateway)
    for row in rows:
        assert (row["outcome"], row["estimated"], row["cancelled"]) == ("client_cancelled", 1, 1)
        assert (row["input_tokens"] > 0, row["output_tokens"]) == (True, 10)
    assert seen["payer cost"]["used"] == sum(row["cost_nanousd"] for row in rows) > 0
    assert seen["payer tokens"]["used"] == sum(row["input_tokens"] + row["output_tokens"] for row in rows)
    assert seen["payer requests"]["used"] == 5


async def test_usage_is_asked_for_where_the_caller_did_not_and_kept_from_who_did_not(tmp_path: Path) -> None:
    """A stream reports usage only when asked to: gateways that leave that to their callers bill nothing."""
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), reports()))
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            body = {"model": CALLER.name, "messages": [{"role": "user", "content": next(iter(CASES))}], "stream": True}
            reply = await gateway.ask(post("/v1/chat/completions", body, key=CALLER.secret))
            (row,) = await gateway.rows(1)
    assert json.loads(upstream.requests[0].body)["stream_options"] == {"include_usage": True}
    assert b'"cached_tokens"' not in reply
    assert (row["cached_input_tokens"], row["estimated"]) == (900, 0)
