"""What may be told of a stored key's calls, from the admin API that says it to answers and traces that keep to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from gateway.commands.admin_client import AdminClient
from gateway.commands.shown import path_of
from tests.gateway.otlp_receiver import OtlpReceiver
from tests.gateway_process import gateway_process, one_route, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "canary-admin-token-0123456789abcdef"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROMPT = "write to jane.roe@example.com"
ALL = {"content": "full", "cost_in_body": True, "trust_trace_context": True}


def policy(upstream_url: str, receiver: OtlpReceiver) -> dict[str, Any]:
    return one_route(upstream_url) | {
        "secrets": {"admin_token": TOKEN},
        "teams": {"discreet": {"content": "hash"}},
        "telemetry": {
            "otlp": {"endpoint": receiver.endpoint, "sample": 1.0},
            "content": {"default": "none", "max": "redacted"},
        },
    }


class Told(NamedTuple):
    """What was told of one call: the cost in its usage, and its spans."""

    cost: float | None
    root: ProtoSpan
    attempt: dict[str, Any]


class Calls(NamedTuple):
    answers: dict[str, bytes]
    spans: list[ProtoSpan]

    def told(self, name: str) -> Told:
        head, _, body = self.answers[name].partition(b"\r\n\r\n")
        (line,) = [line for line in head.decode().lower().split("\r\n") if line.startswith("traceresponse: ")]
        span_id = line.split("-")[2]
        (root,) = [span for span in self.spans if span.span_id.hex() == span_id]
        below = [span for span in self.spans if span.parent_span_id == root.span_id]
        (attempt,) = [span for span in below if span.kind == ProtoSpan.SPAN_KIND_CLIENT]
        words = {pair.key: pair.value.string_value for pair in attempt.attributes}
        return Told(json.loads(body)["usage"].get("cost"), root, words)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Calls]:
    """One call each with a key that says nothing, one that says all, the same once it is changed, and one in a team."""
    answers: dict[str, bytes] = {}
    with OtlpReceiver() as receiver:
        async with ScriptedUpstream() as upstream:
            upstream.otherwise(forever(speaks_openai(asyncio.Event())))
            rules, folder = policy(f"{upstream.url}/v1", receiver), tmp_path_factory.mktemp("stored-keys")
            async with gateway_process(rules, folder) as gateway:
                admin = AdminClient(f"http://127.0.0.1:{gateway.admin_port}", TOKEN)
                answers["usual"] = await call(gateway, (await made(admin, name="usual"))["secret"])
                team = await made(admin, name="of-a-team", team="discreet", **ALL)
                answers["of a team"] = await call(gateway, team["secret"])
                key = await made(admin, name="changing", **ALL)
                answers["told"] = await call(gateway, key["secret"])
                place, back = path_of("keys", key["key"]["id"]), dict.fromkeys(ALL, False) | {"content": "none"}
                await asyncio.to_thread(admin.ask, "PATCH", place, back, "*")
                answers["changed"] = await call(gateway, key["secret"])
                assert await gateway.stop() == 0
        yield Calls(answers, receiver.spans)


async def made(admin: AdminClient, **terms: object) -> dict[str, Any]:
    found: dict[str, Any] = (await asyncio.to_thread(admin.ask, "POST", path_of("keys"), terms)).body
    return found


async def call(gateway: GatewayProcess, key: str) -> bytes:
    """One call that says which trace it is part of."""
    body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    return await gateway.ask(post("/v1/chat/completions", body, f"traceparent: 00-{TRACE}-{SPAN}-01", key=key))


async def test_answers_say_what_they_cost_to_a_key_that_wants_it(calls: Calls) -> None:
    assert [calls.told(name).cost for name in ("usual", "changed")] == [None, None]
    assert calls.told("told").cost == calls.told("of a team").cost
    assert (calls.told("told").cost or 0) > 0


async def test_the_trace_of_a_key_that_is_trusted_is_gone_on_with(calls: Calls) -> None:
    for name in ("told", "of a team"):
        root = calls.told(name).root
        assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    for name in ("usual", "changed"):
        root = calls.told(name).root
        assert (root.trace_id.hex() != TRACE, root.parent_span_id) == (True, b"")
        assert [link.trace_id.hex() for link in root.links] == [TRACE]


async def test_traces_show_no_more_than_the_key_its_team_and_the_gateway_let(calls: Calls) -> None:
    said = "gen_ai.input.messages"
    assert "write to [email]" in calls.told("told").attempt[said]
    assert said not in calls.told("of a team").attempt
    assert calls.told("of a team").attempt["pointsman.content.input_hash"]
    for name in ("usual", "changed"):
        assert not any("content" in word or word == said for word in calls.told(name).attempt)
    assert PROMPT not in "".join(map(str, calls.spans))
