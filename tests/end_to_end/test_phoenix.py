"""Our traces as Phoenix shows them: read back over its API, with its own sums. `make test-all` installs it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from tests.end_to_end.phoenix_server import PYTHON, phoenix_server
from tests.end_to_end.test_rotel import CALLS, CANARY, PROMPT, policy
from tests.gateway_process import gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not PYTHON.exists(), reason="make test-all installs .venv-phoenix"),
]

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # as an IPv4 address, and as an IPv6 socket has it
REQUESTS, ATTEMPTS = len(CALLS), len(CALLS) + 1
SPANS = REQUESTS * 5 + ATTEMPTS
"""Each request has four stages: the key, the body, the route and the limits."""
TOTALS = "{ projects { edges { node { name tokenCountPrompt tokenCountCompletion tokenCountTotal } } } }"


class Shown(NamedTuple):
    spans: list[dict[str, Any]]
    totals: dict[str, Any]
    listens_at: set[str]

    def children(self, root: dict[str, Any]) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["parent_id"] == root["context"]["span_id"]]

    @property
    def roots(self) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == "POST /v1/chat/completions"]

    @property
    def answered(self) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == "chat gpt-5-mini"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    folder = tmp_path_factory.mktemp("gateway")
    async with ScriptedUpstream() as upstream, phoenix_server(tmp_path_factory.mktemp("phoenix")) as phoenix:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        made = policy(f"{upstream.url}/v1", phoenix.endpoint)
        made["telemetry"]["otlp"]["profile"] = "openinference"
        async with gateway_process(made, folder) as gateway:
            for model, key, more in CALLS.values():
                body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
                await gateway.ask(post("/v1/chat/completions", body, key=key))
            assert await gateway.stop() == 0
        spans = await phoenix.spans(SPANS)
        yield Shown(spans, await phoenix.ask(TOTALS), phoenix.listens_at())


async def test_it_listens_on_loopback_only(shown: Shown) -> None:
    assert shown.listens_at
    assert shown.listens_at <= LOOPBACK


async def test_each_call_is_one_tree(shown: Shown) -> None:
    assert len(shown.roots) == REQUESTS
    for root in shown.roots:
        below = shown.children(root)
        assert {span["context"]["trace_id"] for span in below} == {root["context"]["trace_id"]}
        kinds = [span["span_kind"] for span in below]
        assert kinds.count("LLM") in (1, 2)
        assert {"pointsman.auth", "pointsman.route"} <= {span["name"] for span in below}
    assert [root["span_kind"] for root in shown.roots] == ["CHAIN"] * REQUESTS


async def test_tokens_are_counted_by_type_and_none_twice(shown: Shown) -> None:
    for span in shown.answered:
        told = span["attributes"]
        assert (told["llm.model_name"], told["llm.provider"]) == ("gpt-5-mini", "openai")
        assert told["llm.token_count.prompt"] == 11
        assert told["llm.token_count.prompt_details.cache_read"] == 4
        assert told["llm.token_count.completion"] == 7
    [node] = [edge["node"] for edge in shown.totals["projects"]["edges"] if edge["node"]["name"] == "default"]
    assert (node["tokenCountPrompt"], node["tokenCountCompletion"]) == (11 * REQUESTS, 7 * REQUESTS)


async def test_our_cost_is_there_with_all_it_was_made_of(shown: Shown) -> None:
    for span in shown.answered:
        told = span["attributes"]
        parts = [told[f"pointsman.cost.{name}"] for name in ("input", "cached_input", "cache_write", "output")]
        assert told["pointsman.cost.total"] == pytest.approx(sum(parts))
        assert told["pointsman.cost.total"] == told["llm.cost.total"] == told["gen_ai.usage.cost"]
        assert told["pointsman.cost.total"] == pytest.approx((7 * 2.5 + 4 * 1.25 + 7 * 10) / 1e6)
        assert told["pointsman.cost.source"] == "override"


async def test_a_failed_attempt_is_shown_as_one_and_cost_nothing(shown: Shown) -> None:
    [failed] = [span for span in shown.spans if span["name"] == "chat status-503"]
    assert failed["status_code"] == "ERROR"
    assert failed["attributes"]["error.type"] == "503"
    assert not [name for name in failed["attributes"] if "cost" in name or "token_count" in name]


async def test_messages_are_shown_as_messages_and_redacted(shown: Shown) -> None:
    said = [span["attributes"].get("llm.input_messages.0.message.content") for span in shown.answered]
    assert said.count("My key is [secret]; write to [email] about rain.") == 3
    assert said.count(None) == 3
    calls = [span["attributes"] for span in shown.answered if "llm.tools.0.tool.json_schema" in span["attributes"]]
    assert [call["llm.output_messages.0.message.tool_calls.0.tool_call.function.name"] for call in calls] == [
        "get_weather"
    ]
    everything = json.dumps(shown.spans)
    assert CANARY not in everything
    assert "ada@example.com" not in everything
