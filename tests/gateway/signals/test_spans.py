from __future__ import annotations

import json
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gateway.call import Cached
from gateway.records.settlement import HEDGE_LOST, settle
from gateway.signals.conventions import Attr, Happened, Mark
from gateway.signals.span_values import Event, Kind, Link, Span
from gateway.signals.spans import spans_of
from gateway.signals.tracing import attempt_span_id
from policies.attempts import AttemptKind
from policies.cache_rules import Bypass
from policies.choosing import Choice, Refused, Rejection
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import (
    DEAR,
    FREE_OF_PRICE,
    RECEIVED_AT_NS,
    answered,
    attempt,
    cached_hit,
    call,
    errand,
    from_an_engine,
)

GOLDEN = Path(__file__).parent / "golden" / "trace.json"
MS = 1_000_000


def usage_attributes(span: Span) -> set[str]:
    return {name for name in span.attributes if name.startswith("gen_ai.usage.")}


def test_the_request_is_the_parent_of_its_attempts() -> None:
    finished = call(attempt(failure=Failure(FailureKind.CONNECT), sent=False), attempt(Usage(1, 1), number=2))
    server, first, second = spans_of(settle(finished))
    assert (server.name, server.kind, server.parent_id) == ("POST /v1/chat/completions", Kind.SERVER, None)
    assert {first.parent_id, second.parent_id} == {finished.trace.span_id}
    assert second.span_id == attempt_span_id(finished.trace, 2)
    assert {span.trace_id for span in (server, first, second)} == {finished.trace.trace_id}
    assert (server.start_ns, server.end_ns) == (RECEIVED_AT_NS, RECEIVED_AT_NS + 503 * MS)
    assert (second.start_ns, second.end_ns) == (RECEIVED_AT_NS + 2 * MS, RECEIVED_AT_NS + 500 * MS)


def test_a_hedge_is_told_from_a_fallback() -> None:
    late, hedge = attempt(cancelled=True), attempt(Usage(1, 1), number=2, deployment=FREE_OF_PRICE)
    late.stopped, hedge.kind = HEDGE_LOST, AttemptKind.HEDGE
    _, first, second = spans_of(settle(call(late, hedge)))
    told = [(span.attributes[Attr.ATTEMPT_KIND], span.attributes[Attr.OUTCOME], span.error) for span in (first, second)]
    assert told == [("first", "hedge_lost", None), ("hedge", "ok", None)]


def test_usage_stands_on_attempts_only_and_only_where_something_was_used() -> None:
    refused = attempt(failure=Failure(FailureKind.STATUS, "overloaded", status=529))
    server, first, second = spans_of(settle(call(refused, attempt(Usage(100, 10, 40, 20, 5), number=2))))
    assert usage_attributes(server) == set()
    assert usage_attributes(first) == set()
    assert first.attributes[Attr.ERROR_TYPE] == "529"
    assert first.error == "overloaded"
    tokens = (Attr.INPUT_TOKENS, Attr.OUTPUT_TOKENS, Attr.CACHE_READ_TOKENS, Attr.CACHE_WRITE_TOKENS)
    assert [second.attributes[name] for name in tokens] == [100, 10, 40, 20]
    assert second.error is None
    assert Attr.ERROR_TYPE not in second.attributes
    assert server.attributes[Attr.TOTAL_INPUT_TOKENS] == 100


def test_a_hit_is_one_span_that_used_nothing_and_says_what_it_saved() -> None:
    (server,) = spans_of(settle(cached_hit()))
    shown = {name: value for name, value in server.attributes.items() if "cache" in name or "saved" in name}
    assert shown == {
        Attr.CACHE_RESULT: "hit",
        Attr.CACHE_LEVEL: "semantic",
        Attr.CACHE_ENTRY: "ce_1",
        Attr.CACHE_AGE_S: 31.04,
        Attr.CACHE_RISK: 0.0042,
        Attr.CACHE_BAR: 0.01,
        Attr.CACHE_SIMILARITY: 0.97123,
        Attr.CACHE_LOOKUP_S: 0.0121,
        Attr.COST_SAVED: 0.00035,
        Attr.CACHE_SAVED_TOKENS: 110,
    }
    assert (server.attributes[Attr.OPERATION], server.attributes[Attr.DEPLOYMENT]) == ("chat", "gpt-4o")
    assert server.attributes[Attr.RESPONSE_MODEL] == "gpt-4o-2024-08-06"
    assert usage_attributes(server) == set()
    assert (server.attributes[Attr.TOTAL_INPUT_TOKENS], server.attributes.get(Attr.COST_TOTAL)) == (0, None)


def test_a_miss_and_a_bypass_say_why_beside_their_attempts() -> None:
    missed, left_alone = answered(), answered()
    missed.cached = Cached(veto="negation", similarity=0.98, closed=Bypass.MEDIA)
    left_alone.cached = Cached(bypass=Bypass.NO_STORE)
    server, client = spans_of(settle(missed))
    assert (server.attributes[Attr.CACHE_RESULT], server.attributes[Attr.CACHE_VETO]) == ("miss", "negation")
    assert server.attributes[Attr.CACHE_CLOSED] == "media"
    assert Attr.OPERATION not in server.attributes
    assert not any(name.startswith("pointsman.cache") for name in client.attributes)
    server, _ = spans_of(settle(left_alone))
    assert (server.attributes[Attr.CACHE_RESULT], server.attributes[Attr.CACHE_BYPASS]) == ("bypass", "no_store")


def test_the_cost_can_be_recomputed_by_hand_from_the_span() -> None:
    _, client = spans_of(settle(answered(Usage(100, 10))))
    shown = client.attributes
    assert shown[Attr.PRICE_INPUT] == 2.5
    assert shown[Attr.PRICE_OUTPUT] == 10.0
    assert shown[Attr.COST_INPUT] == 100 * 2.5 / 1e6
    assert shown[Attr.COST_OUTPUT] == 10 * 10.0 / 1e6
    assert shown[Attr.COST_TOTAL] == shown[Attr.USAGE_COST] == 0.00035
    assert shown[Attr.COST_PER_MTOK] == 350_000 / 1000 / 110
    assert (shown[Attr.PRICE_ID], shown[Attr.PRICE_VERSION], shown[Attr.COST_SOURCE]) == (
        "gpt-4o",
        "2026-11-01",
        "table",
    )


def test_what_is_unpriced_says_why_and_names_no_cost() -> None:
    server, client = spans_of(settle(call(attempt(Usage(1, 1), deployment=FREE_OF_PRICE))))
    assert client.attributes[Attr.COST_UNPRICED] == "no_price"
    named = {name for span in (server, client) for name in span.attributes if "cost" in name}
    assert named == {Attr.COST_UNPRICED}


def test_a_stream_shows_its_first_chunk() -> None:
    _, client = spans_of(settle(call(attempt(Usage(1, 1), first_token_s=1000.052), stream=True)))
    assert client.events == (Event(Happened.FIRST_CHUNK, RECEIVED_AT_NS + 52 * MS),)
    assert round(float(str(client.attributes[Attr.FIRST_CHUNK_S])), 6) == 0.05


def test_an_upstreams_words_are_made_harmless() -> None:
    finished = answered()
    tally = finished.attempts[0].tally
    assert tally is not None
    tally.id, tally.model, tally.finish_reasons = "a\nb" * 500, "\x1b[2J", ["stop\r"] * 99
    _, client = spans_of(settle(finished))
    shown = str(client.attributes[Attr.RESPONSE_ID]), str(client.attributes[Attr.RESPONSE_MODEL])
    assert all(text.isprintable() and len(text) <= 256 for text in shown)
    reasons = client.attributes[Attr.FINISH_REASONS]
    assert isinstance(reasons, tuple)
    assert len(reasons) == 16


def test_only_our_own_faults_mark_the_request_as_failed() -> None:
    denied, *_ = spans_of(settle(call(status=401, error_code="invalid_api_key", principal=None)))
    assert (denied.error, denied.attributes[Attr.ERROR_TYPE]) == (None, "invalid_api_key")
    broken, *_ = spans_of(settle(call(status=500, error_code="internal_error")))
    assert broken.error == "gateway_error"


def test_an_attempt_at_an_engine_of_ours_says_where_its_time_went() -> None:
    _, attempted = spans_of(settle(from_an_engine()))
    names = (Attr.ENGINE_QUEUE_S, Attr.ENGINE_READ_S, Attr.ENGINE_WRITE_S, Attr.ENGINE_COMPUTE_S)
    assert [attempted.attributes[name] for name in names] == [0.25, 0.5, 2.0, 1.25]


def test_a_call_that_the_cache_makes_by_itself_is_no_request_of_anybodys() -> None:
    root, attempted = spans_of(settle(errand(attempt(Usage(12, 1)))))
    assert (root.name, root.kind) == ("pointsman.cache.judge", Kind.INTERNAL)
    assert (attempted.kind, attempted.parent_id) == (Kind.CLIENT, root.span_id)


def test_a_further_attempt_is_an_event_of_the_request() -> None:
    refused = attempt(failure=Failure(FailureKind.STATUS, "overloaded", status=529))
    refused.ended_s = 1000.1
    second = attempt(Usage(1, 1), number=2, deployment=FREE_OF_PRICE)
    second.kind, second.started_s = AttemptKind.FALLBACK, 1000.35
    server, *_ = spans_of(settle(call(refused, second)))
    (further,) = server.events
    assert (further.name, further.at_ns) == (Happened.FURTHER, RECEIVED_AT_NS + 350 * MS)
    assert further.attributes is not None
    assert {**further.attributes, Attr.WAITED_S: round(float(str(further.attributes[Attr.WAITED_S])), 6)} == {
        Attr.ATTEMPT: 2,
        Attr.ATTEMPT_KIND: "fallback",
        Attr.DEPLOYMENT: "llama-eu",
        Attr.ERROR_TYPE: "status",
        Attr.WAITED_S: 0.25,
    }


def test_a_call_of_a_stranger_who_names_a_trace_is_linked_to_it() -> None:
    linked = answered()
    linked.trace = replace(linked.trace, linked=("a" * 32, "b" * 16))
    server, client = spans_of(settle(linked))
    assert (server.links, client.links) == ((Link("a" * 32, "b" * 16),), ())


def tree(spans: list[Span]) -> dict[str, object]:
    """The spans by name, each with all that it says but its ids."""
    return {
        span.name: {
            "kind": span.kind.value,
            "parent": {one.span_id: one.name for one in spans}.get(span.parent_id or ""),
            "ms": [(at_ns - RECEIVED_AT_NS) / MS for at_ns in (span.start_ns, span.end_ns)],
            "error": span.error,
            "attributes": span.attributes,
            "events": {event.name: (event.at_ns - RECEIVED_AT_NS) / MS for event in span.events},
        }
        for span in spans
    }


def rounded(value: object) -> object:
    """Without the last digits of floats, which times since a start have."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 9) if isinstance(value, float) else value


def test_the_whole_tree_is_the_golden_one() -> None:
    """Every word of it: backends and people's queries depend on them. `GOLDEN` is written by hand."""
    streamed = attempt(Usage(100, 10, 40, 0, 5), finish=("stop",), first_token_s=1000.0625)
    finished = call(streamed, stream=True)
    finished.marks = [(Mark.AUTH, 1000.0005), (Mark.READ, 1000.001), (Mark.ROUTE, 1000.0015), (Mark.LIMITS, 1000.002)]
    finished.choice = Choice((DEAR,), 1, (Rejection(FREE_OF_PRICE, Refused.REGION),), ((DEAR.id, 1.5),), "in order")
    built = tree(spans_of(settle(finished)))
    decision = json.loads(built["POST /v1/chat/completions"]["attributes"].pop("pointsman.decision"))  # type: ignore[index]
    golden = json.loads(GOLDEN.read_text().replace('"ID"', f'"{finished.id}"'))
    assert rounded(msgspec.to_builtins(built)) == golden
    assert [one["deployment"] for one in decision["candidates"]] == ["gpt-4o", "llama-eu"]
