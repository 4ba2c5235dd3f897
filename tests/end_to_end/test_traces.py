"""Traces of a real gateway as real receivers get them: the tree, whose trace it is, and who is told of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.gateway.otlp_receiver import OtlpReceiver
from tests.gateway_process import gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.scripted_upstream import Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRUSTED, STRANGER = "a-key-that-is-trusted-0123456789", "a-key-of-anybody-at-all-0123456789"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAYS = (f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: rojo=00f067aa0ba902b7", "baggage: secret=1")
HELLO = {"messages": [{"role": "user", "content": "the prompt"}]}


def policy(urls: dict[str, str], *receivers: dict[str, Any]) -> dict[str, Any]:
    provider = {"kind": "openai", "api_key": "sk-upstream-canary-000", "breaker": {"failures": 1000}}
    price = {"input": 2.5, "cached_input": 1.25, "output": 10}
    models = {"good": ("mine", "gpt-5-mini"), "abroad": ("public", "gpt-5-mini"), "broken": ("public", "status-503")}
    return {
        "telemetry": {"otlp": list(receivers)},
        "providers": {
            "mine": {**provider, "base_url": urls["mine"], "trace": True},
            "public": {**provider, "base_url": urls["public"]},
        },
        "deployments": {
            name: {"provider": provider, "model": model, "price": price} for name, (provider, model) in models.items()
        },
        "routes": [
            {"model": "mine", "targets": ["good"]},
            {"model": "public", "targets": ["abroad"]},
            {"model": "shaky", "targets": ["broken"], "fallbacks": ["good"], "retry": {"attempts": 1}},
            {"model": "kept", "targets": ["good"], "cache": {"exact": {"ttl": "1h"}}},
        ],
        "keys": [
            {"name": "inside", "secret": TRUSTED, "trust_trace_context": True},
            {"name": "outside", "secret": STRANGER},
        ],
    }


class Seen(NamedTuple):
    """What came of some calls: answers by name, the spans of two receivers, and what upstreams were sent."""

    answers: dict[str, bytes]
    everything: list[ProtoSpan]
    failures: list[ProtoSpan]
    sent: dict[str, list[Received]]

    def context(self, name: str) -> tuple[str, str]:
        """Trace and span of the SERVER span that this answer names."""
        head = self.answers[name].partition(b"\r\n\r\n")[0].decode().lower()
        (line,) = [line for line in head.split("\r\n") if line.startswith("traceresponse: ")]
        version, trace_id, span_id, _ = line.removeprefix("traceresponse: ").split("-")
        assert version == "00"
        return trace_id, span_id

    def tree(self, name: str) -> tuple[ProtoSpan, list[ProtoSpan]]:
        """The SERVER span of a call, and what is below it in the order of its beginning."""
        trace_id, span_id = self.context(name)
        spans = [span for span in self.everything if span.trace_id.hex() == trace_id]
        (root,) = [span for span in spans if span.span_id.hex() == span_id]
        below = [span for span in spans if span.parent_span_id == root.span_id]
        return root, sorted(below, key=lambda span: span.start_time_unix_nano)


CALLS = {
    "trusted": (post, "mine", False, TRUSTED),
    "stranger": (post, "mine", False, STRANGER),
    "abroad": (post, "public", False, TRUSTED),
    "shaky": (post, "shaky", False, STRANGER),
    "streamed": (post, "mine", True, STRANGER),
    "asked": (post, "kept", False, STRANGER),
    "hit": (post, "kept", False, STRANGER),
    "unknown": (post, "nobody-has-this", False, STRANGER),
    "denied": (post, "mine", False, "a-key-that-nobody-holds-0123456789"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    folder = tmp_path_factory.mktemp("traces")
    async with ScriptedUpstream() as mine, ScriptedUpstream() as public:
        for upstream in (mine, public):
            upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        with OtlpReceiver() as everything, OtlpReceiver() as failures:
            receivers = (
                {"endpoint": everything.endpoint, "name": "all", "sample": 1.0},
                {"endpoint": failures.endpoint, "profile": "openinference", "sample": {"ratio": 0}},
            )
            urls = {"mine": f"{mine.url}/v1", "public": f"{public.url}/v1"}
            answers: dict[str, bytes] = {}
            async with gateway_process(policy(urls, *receivers), folder) as gateway:
                for name, (make, model, stream, key) in CALLS.items():
                    body = {**HELLO, "model": model, "stream": stream}
                    answers[name] = await gateway.ask(make("/v1/chat/completions", body, *SAYS, key=key))
            sent = {"mine": mine.requests, "public": public.requests}
            yield Seen(answers, everything.spans, failures.spans, sent)


def told(span: ProtoSpan) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


async def test_every_answer_names_its_trace(seen: Seen) -> None:
    contexts = [seen.context(name) for name in CALLS]
    assert len({span for _, span in contexts}) == len(CALLS)


async def test_a_trusted_callers_trace_is_gone_on_with_and_nobody_elses(seen: Seen) -> None:
    root, _ = seen.tree("trusted")
    assert (root.trace_id.hex(), root.parent_span_id.hex(), len(root.links)) == (TRACE, SPAN, 0)
    for name in ("stranger", "denied", "unknown"):
        root, _ = seen.tree(name)
        assert root.trace_id.hex() != TRACE
        assert root.parent_span_id == b""
        assert [(link.trace_id.hex(), link.span_id.hex()) for link in root.links] == [(TRACE, SPAN)]


async def test_a_fallback_is_one_tree_with_an_attempt_each(seen: Seen) -> None:
    root, below = seen.tree("shaky")
    names = [span.name for span in below]
    assert names == [
        "pointsman.auth",
        "pointsman.read",
        "pointsman.route",
        "pointsman.ratelimit",
        "chat status-503",
        "chat gpt-5-mini",
    ]
    *stages, first, second = below
    assert {span.kind for span in stages} == {ProtoSpan.SPAN_KIND_INTERNAL}
    assert (root.kind, first.kind, second.kind) == (
        ProtoSpan.SPAN_KIND_SERVER,
        ProtoSpan.SPAN_KIND_CLIENT,
        ProtoSpan.SPAN_KIND_CLIENT,
    )
    assert root.start_time_unix_nano <= below[0].start_time_unix_nano
    assert all(one.end_time_unix_nano <= root.end_time_unix_nano for one in below)
    assert (told(first)["error.type"], told(first)["server.address"]) == ("503", "127.0.0.1")
    assert not any(name.startswith("gen_ai.usage.") for name in told(first) | told(root))
    assert told(second)["gen_ai.usage.input_tokens"] == told(root)["pointsman.usage.input_tokens"] > 0
    assert told(second)["pointsman.cost.total"] == told(root)["pointsman.cost.total"] > 0
    (further,) = root.events
    assert further.name == "pointsman.further_attempt"
    route = below[2]
    assert [value.string_value for value in told(route)["pointsman.route.candidates"].values] == ["broken", "good"]
    assert "pointsman.decision" in told(root)


async def test_a_stream_shows_its_first_chunk(seen: Seen) -> None:
    _, below = seen.tree("streamed")
    assert [event.name for event in below[-1].events] == ["pointsman.first_chunk"]
    assert told(below[-1])["gen_ai.response.time_to_first_chunk"] > 0


async def test_a_hit_has_a_look_up_and_no_attempt(seen: Seen) -> None:
    root, below = seen.tree("hit")
    assert [span.name for span in below][-1] == "pointsman.cache.lookup"
    assert told(root)["pointsman.cost.saved"] == told(seen.tree("asked")[0])["pointsman.cost.total"]


async def test_who_refuses_a_call_is_the_last_of_its_stages(seen: Seen) -> None:
    assert [(span.name, told(span).get("error.type")) for span in seen.tree("denied")[1]] == [
        ("pointsman.auth", "invalid_api_key")
    ]
    _, below = seen.tree("unknown")
    assert (below[-1].name, told(below[-1])["error.type"]) == ("pointsman.route", "model_not_found")


async def test_only_servers_of_ones_own_are_told_of_a_trace(seen: Seen) -> None:
    trusted, stranger, *_ = seen.sent["mine"]
    _, below = seen.tree("trusted")
    assert trusted.headers["traceparent"] == f"00-{TRACE}-{below[-1].span_id.hex()}-01"
    assert trusted.headers["tracestate"] == "rojo=00f067aa0ba902b7"
    root, below = seen.tree("stranger")
    assert stranger.headers["traceparent"] == f"00-{root.trace_id.hex()}-{below[-1].span_id.hex()}-01"
    assert "tracestate" not in stranger.headers
    everyone = [received.headers for requests in seen.sent.values() for received in requests]
    assert not any("baggage" in headers for headers in everyone)
    assert seen.sent["public"]
    assert not any({"traceparent", "tracestate"} & received.headers.keys() for received in seen.sent["public"])


async def test_what_comes_after_the_answer_is_a_trace_of_its_own(seen: Seen) -> None:
    writes = [span for span in seen.everything if span.name == "pointsman.ledger.write"]
    assert writes
    assert all(span.parent_span_id == b"" for span in writes)
    linked = {(link.trace_id.hex(), link.span_id.hex()) for span in writes for link in span.links}
    assert linked == {seen.context(name) for name in CALLS}


async def test_a_destination_gets_what_its_rules_keep_in_its_own_words(seen: Seen) -> None:
    """A fallback, and what a trusted caller wants kept."""
    roots = {span.span_id.hex(): told(span) for span in seen.failures if span.kind == ProtoSpan.SPAN_KIND_SERVER}
    reasons = {name: roots.get(seen.context(name)[1], {}).get("pointsman.sampled.by") for name in CALLS}
    kept = {name: reason for name, reason in reasons.items() if reason is not None}
    assert kept == {"trusted": "caller", "abroad": "caller", "shaky": "fallback"}
    models = [told(span) for span in seen.failures if span.kind == ProtoSpan.SPAN_KIND_CLIENT]
    assert {attributes["openinference.span.kind"] for attributes in models} == {"LLM"}
    assert not any("openinference.span.kind" in told(span) for span in seen.everything)


async def test_nothing_of_what_was_said_is_exported(seen: Seen) -> None:
    assert "the prompt" not in "".join(str(span) for span in seen.everything)


async def test_a_receiver_that_hangs_harms_nobody(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, ScriptedUpstream() as deaf:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))  # and `deaf` never answers anything
        urls = {"mine": f"{upstream.url}/v1", "public": f"{upstream.url}/v1"}
        async with gateway_process(policy(urls, {"endpoint": deaf.url}), tmp_path) as gateway:
            body = {**HELLO, "model": "mine"}
            answer = await gateway.ask(post("/v1/chat/completions", body, key=STRANGER))
            assert answer.startswith(b"HTTP/1.1 200")
            began_s = time.monotonic()
            assert await gateway.stop() == 0
            assert time.monotonic() - began_s < 12
            assert len(gateway.ledger()) == 1
