"""Our traces as a collector of others reads them: the tree, each rate and token, and what may be seen of prompts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.rotel_collector import Printed, rotel_collector
from tests.gateway_process import gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN, CLOSED, HASHED = "a-key-that-shows-0123456789", "a-key-that-does-not-0123456789", "a-key-hashed-0123456789"
CANARY = "sk-proj-promptcanary0123456789"
PROMPT = f"My key is {CANARY}; write to ada@example.com about rain."
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "whole": ("good", OPEN, {}),
    "stream": ("good", OPEN, {"stream": True}),
    "tools": ("good", OPEN, {"tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]}),
    "shaky": ("shaky", CLOSED, {}),
    "hashed": ("good", HASHED, {}),
    "again": ("good", HASHED, {"temperature": 0.5}),
}
SPANS = {"SERVER": 6, "CLIENT": 7}


def policy(base_url: str, endpoint: str) -> dict[str, Any]:
    price = {"input": 2.5, "cached_input": 1.25, "output": 10}
    return {
        "telemetry": {"otlp": {"endpoint": endpoint}, "content": {"default": "none", "max": "redacted"}},
        "secrets": {"pepper": "a-pepper-for-tests-only-0123456789"},
        "providers": {"one": {"kind": "openai", "base_url": base_url, "api_key": "sk-upstream-canary-000"}},
        "deployments": {
            "good": {"provider": "one", "model": "gpt-5-mini", "price": price},
            "broken": {"provider": "one", "model": "status-503", "price": price},
        },
        "routes": [
            {"model": "good", "targets": ["good"]},
            {"model": "shaky", "targets": ["broken"], "fallbacks": ["good"], "retry": {"attempts": 1}},
        ],
        "keys": [
            {"name": "open", "secret": OPEN, "content": "full"},
            {"name": "closed", "secret": CLOSED},
            {"name": "hashed", "secret": HASHED, "content": "hash"},
        ],
    }


class Traces:
    """What the collector printed, and which request each call was."""

    def __init__(self, spans: list[Printed], requests: dict[str, str]) -> None:
        self.spans = spans
        self._requests = requests

    def of(self, call: str) -> tuple[Printed, list[Printed], list[Printed]]:
        """The request's span, its stages' and its attempts'."""
        named = [span for span in self.spans if span.attributes.get("pointsman.request.id") == self._requests[call]]
        (root,) = [span for span in named if span.fields["Kind"] == "SPAN_KIND_SERVER"]
        below = [span for span in self.spans if span.fields.get("Parent ID") == root.fields["ID"]]
        stages = [span for span in below if span.fields["Kind"] == "SPAN_KIND_INTERNAL"]
        return root, stages, [span for span in below if span.fields["Kind"] == "SPAN_KIND_CLIENT"]


def request_id(answer: bytes) -> str:
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    return next(line for line in head.split("\r\n") if line.startswith("x-request-id: ")).partition(": ")[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traces(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traces]:
    folder = tmp_path_factory.mktemp("rotel")
    requests = {}
    async with ScriptedUpstream() as upstream, rotel_collector(folder) as rotel:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(f"{upstream.url}/v1", rotel.endpoint), folder) as gateway:
            for name, (model, key, more) in CALLS.items():
                body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
                requests[name] = request_id(await gateway.ask(post("/v1/chat/completions", body, key=key)))
            assert await gateway.stop() == 0
        yield Traces(await rotel.until(SPANS), requests)


async def test_a_call_is_one_tree_of_which_every_span_was_read(traces: Traces) -> None:
    root, stages, attempts = traces.of("whole")
    assert root.fields["Name"] == "POST /v1/chat/completions"
    assert {stage.fields["Name"] for stage in stages} >= {"pointsman.auth", "pointsman.route"}
    (attempt,) = attempts
    assert attempt.fields["Name"] == "chat gpt-5-mini"
    assert {span.fields["Trace ID"] for span in (root, *stages, attempt)} == {root.fields["Trace ID"]}


async def test_the_sum_can_be_done_by_hand(traces: Traces) -> None:
    told = traces.of("whole")[2][0].attributes
    rates = [float(told[f"pointsman.price.{name}_per_mtok"]) for name in ("input", "cached_input", "output")]
    tokens = [
        int(told[f"gen_ai.usage.{name}"]) for name in ("input_tokens", "cache_read.input_tokens", "output_tokens")
    ]
    assert (rates, tokens) == ([2.5, 1.25, 10.0], [11, 4, 7])
    amount = ((tokens[0] - tokens[1]) * rates[0] + tokens[1] * rates[1] + tokens[2] * rates[2]) / 1e6
    assert float(told["pointsman.cost.total"]) == pytest.approx(amount, abs=1e-12)
    assert told["pointsman.cost.total"] == told["gen_ai.usage.cost"]


async def test_a_stream_says_when_it_began(traces: Traces) -> None:
    attempt = traces.of("stream")[2][0]
    assert attempt.events == ["pointsman.first_chunk"]
    assert float(attempt.attributes["gen_ai.response.time_to_first_chunk"]) > 0


async def test_a_fallback_is_two_attempts_of_which_one_used_something(traces: Traces) -> None:
    root, _, attempts = traces.of("shaky")
    failed, good = sorted(attempts, key=lambda span: int(span.attributes["pointsman.attempt"]))
    assert (failed.attributes["error.type"], failed.attributes["pointsman.deployment"]) == ("503", "broken")
    assert not [name for name in failed.attributes if name.startswith(("gen_ai.usage", "pointsman.cost"))]
    assert good.attributes["gen_ai.usage.output_tokens"] == "7"
    assert not [name for name in root.attributes if name.startswith("gen_ai.usage")]


async def test_what_was_said_is_shown_redacted_where_the_key_shows_it(traces: Traces) -> None:
    for call in ("whole", "stream", "tools"):
        told = traces.of(call)[2][0].attributes
        asked = json.loads(told["gen_ai.input.messages"])
        assert asked[0]["parts"][0]["content"] == "My key is [secret]; write to [email] about rain."
        [answered] = json.loads(told["gen_ai.output.messages"])
        kinds = [part["type"] for part in answered["parts"]]
        assert kinds[-1] == ("tool_call" if call == "tools" else "text")
        if call == "tools":
            assert answered["parts"][-1]["arguments"] == {"city": "Paris"}
            assert json.loads(told["gen_ai.tool.definitions"])[0]["name"] == "get_weather"


async def test_nothing_is_shown_where_nobody_asked_and_no_secret_anywhere(traces: Traces) -> None:
    shown = [name for span in traces.of("shaky")[2] for name in span.attributes if "message" in name]
    assert shown == []
    everything = repr([(span.fields, span.attributes, span.events) for span in traces.spans])
    assert "ada@example.com" not in everything
    assert CANARY not in everything
    assert "about rain" in everything, "the search would have found it"


async def test_equal_prompts_have_equal_digests(traces: Traces) -> None:
    first, second = (traces.of(call)[2][0].attributes for call in ("hashed", "again"))
    assert first["pointsman.content.input_hash"] == second["pointsman.content.input_hash"]
    assert "gen_ai.input.messages" not in first
