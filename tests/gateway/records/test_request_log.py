from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.call import Cached
from gateway.keys.peppers import digests_of
from gateway.limits.admitted import Admitted
from gateway.records.origins import Origins
from gateway.records.request_log import RequestLog, terminal_line
from gateway.records.settlement import HEDGE_LOST, settle
from gateway.signals.conventions import Mark
from gateway.state.limits.in_process import InProcessLimitStore
from policies.attempts import AttemptKind
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Failure, FailureKind, LimitScope
from tests.gateway.calls import FREE_OF_PRICE, answered, attempt, cached_hit, call, errand, from_an_engine

if TYPE_CHECKING:
    from gateway.call import Attempt, Call


def logged(finished: Call) -> dict[str, object]:
    line = RequestLog(as_json=True).line(settle(finished))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    event: dict[str, object] = json.loads(line)
    return event


def test_a_good_call_says_everything_that_is_known_of_it() -> None:
    finished = call(attempt(Usage(100, 10, 40), finish=("stop",), first_token_s=1000.052), stream=True)
    line = logged(finished)
    assert line == {
        "ts": "2026-11-22T00:00:00.503Z",
        "level": "info",
        "event": "request.completed",
        "service": "pointsman",
        "schema_version": 2,
        "instance": "",
        "worker": 0,
        "end_user_hash": None,
        "method": "POST",
        "ip_trunc": None,
        "org": "default",
        "request_id": finished.id,
        "trace_id": finished.trace.trace_id,
        "span_id": finished.trace.span_id,
        "route": "smart",
        "status": 200,
        "outcome": "ok",
        "model_requested": "smart",
        "model_served": "gpt-4o-2024-08-06",
        "stream": True,
        "endpoint": "chat/completions",
        "timing_ms": {
            "total": 503.0,
            "overhead": 5.0,
            "queue": 0.0,
            "auth": None,
            "ttft": 52.0,
            "upstream": 498.0,
        },
        "bytes": {"in": 120, "out": 900},
        "team": "platform",
        "key_id": "k_1234",
        "key_alias": "ci",
        "provider": "openai",
        "deployment": "gpt-4o",
        "attempts": [{"deployment": "gpt-4o", "outcome": "ok", "status": None, "ms": 498.0}],
        "finish_reason": "stop",
        "tokens": {
            "input": 100,
            "cached_input": 40,
            "cache_write_5m": 0,
            "cache_write_1h": 0,
            "output": 10,
            "reasoning": 0,
            "estimated": False,
        },
        "cost": {
            "total_nano_usd": 300_000,
            "components": {
                "input": 150_000,
                "cached_input": 50_000,
                "cache_write": 0,
                "output": 100_000,
                "request": 0,
                "tool": 0,
            },
            "source": "table",
            "price_id": "gpt-4o",
            "price_version": "2026-11-01",
            "unpriced": None,
            "saved_nano_usd": None,
        },
        "user_agent": "OpenAI/Python 2.0",
    }


def test_a_fallback_adds_up_its_attempts() -> None:
    refused = attempt(Usage(5, 0), number=1, failure=Failure(FailureKind.IN_BAND, "overloaded", status=529))
    line = logged(call(refused, attempt(Usage(5, 5), number=2, deployment=FREE_OF_PRICE)))
    assert line["attempts"] == [
        {"deployment": "gpt-4o", "outcome": "in_band", "status": 529, "ms": 498.0},
        {"deployment": "llama-eu", "outcome": "ok", "status": None, "ms": 498.0},
    ]
    tokens, cost = line["tokens"], line["cost"]
    assert isinstance(tokens, dict)
    assert isinstance(cost, dict)
    assert (tokens["input"], tokens["output"]) == (10, 5)
    assert (cost["total_nano_usd"], cost["unpriced"]) == (12_500, "no_price")


def test_a_failure_is_told_scrubbed_and_short() -> None:
    failure = Failure(FailureKind.STATUS, "key sk-proj-abcdefghijklmnop1234 is bad\n" + "x y " * 600, status=401)
    line = logged(call(attempt(failure=failure), status=502, error_code="upstream_error"))
    assert (line["level"], line["outcome"], line["error_type"]) == ("warning", "upstream_error", "status")
    message = str(line["error_message"])
    assert "abcdefgh" not in message
    assert len(message) <= 512


def test_a_refused_call_has_no_upstream_to_speak_of() -> None:
    line = logged(call(status=401, error_code="invalid_api_key", principal=None, route=None, model="x\n\x1b[1m\ud800"))
    assert line["model_requested"] == r"x\n\x1b[1m\ud800"
    assert (line["outcome"], line["error_code"]) == ("denied_auth", "invalid_api_key")
    assert line.keys().isdisjoint({"deployment", "cost", "tokens", "attempts", "team"})


async def test_a_refusal_names_the_limit_that_said_no() -> None:
    refused = call(status=429, error_code="rate_limit_exceeded")
    refused.admitted = Admitted(InProcessLimitStore(float))
    refused.admitted.refused_by, refused.admitted.refused_scope = "team.tokens.min", LimitScope.TEAM
    line = logged(refused)
    assert (line["outcome"], line["limit"]) == ("denied_rate", "team.tokens.min")
    assert line["ratelimit"] == {"decision": "denied", "scope": "team"}
    moved_on = answered()
    moved_on.admitted = refused.admitted
    line = logged(moved_on)
    assert ("limit" in line, line["ratelimit"]) == (False, {"decision": "allowed", "scope": None})
    moved_on.admitted.waited_s = 0.25
    line = logged(moved_on)
    assert line["ratelimit"] == {"decision": "queued", "scope": None}
    assert line["timing_ms"]["queue"] == 250.0  # type: ignore[index]
    assert "ratelimit" not in logged(answered()), "nothing limits it"


def test_writes_to_a_providers_cache_are_told_by_how_long_they_last() -> None:
    usage = Usage(100, 10, 20, 30, details=UsageDetails(cache_write_1h_tokens=12))
    tokens = logged(answered(usage))["tokens"]
    assert isinstance(tokens, dict)
    assert (tokens["cache_write_5m"], tokens["cache_write_1h"]) == (18, 12)


def test_what_was_estimated_is_no_table_price() -> None:
    cost = logged(answered(Usage(1, 2, estimated=True)))["cost"]
    assert isinstance(cost, dict)
    assert (cost["source"], cost["price_id"]) == ("estimated", "gpt-4o")


@pytest.mark.parametrize(
    ("tried", "guardrails"),
    [
        (attempt(Usage(1, 1), finish=("stop", "content_filter")), ["provider_content_filter"]),
        (attempt(failure=Failure(FailureKind.STATUS, status=400, code="content_filter")), ["provider_content_filter"]),
        (attempt(Usage(1, 1), finish=("stop",)), None),
        (attempt(failure=Failure(FailureKind.STATUS, status=400, code="invalid_value")), None),
    ],
)
def test_a_providers_guardrail_is_named(tried: Attempt, guardrails: list[str] | None) -> None:
    status = 200 if tried.failure is None else 400
    assert logged(call(tried, status=status)).get("guardrails") == guardrails


def test_the_time_until_the_key_was_known_is_told() -> None:
    finished = answered()
    finished.marks = [(Mark.AUTH, finished.received_s + 0.00125), (Mark.READ, finished.received_s + 0.5)]
    timing = logged(finished)["timing_ms"]
    assert isinstance(timing, dict)
    assert timing["auth"] == 1.25


def test_whose_the_call_was_and_where_it_was_served_is_told_without_names() -> None:
    finished = answered()
    finished.request.members["user"] = msgspec.Raw(b'"grace@example.com"')
    finished.peer = lambda: "203.0.113.77"
    origins = Origins("host:1", 3, digests_of("a pepper"))
    line = json.loads(RequestLog(as_json=True, origins=origins).line(settle(finished)))
    assert (line["instance"], line["worker"], line["ip_trunc"]) == ("host:1", 3, "203.0.113.0/24")
    assert line["end_user_hash"] == origins.end_user(finished.request)
    assert "grace" not in json.dumps(line)


def test_what_a_cache_asks_by_itself_is_no_completed_request() -> None:
    made = errand(attempt(Usage(12, 34), finish=("stop",)))
    told = logged(made)
    assert told["event"] == "cache.call.completed"
    assert told["made_for"] == {"purpose": "judge", "request_id": "req_1", "route": "faq"}
    assert (told["key_id"], told["status"], told["outcome"]) == ("cache:judge", 200, "ok")
    cost = told["cost"]
    assert isinstance(cost, dict)
    assert cost["total_nano_usd"] == 370_000
    assert "judge for req_1" in terminal_line(settle(made)).decode()


def test_on_a_terminal_a_call_is_one_short_line() -> None:
    log = RequestLog(as_json=False)
    line = log.line(settle(answered(Usage(12, 34)))).decode()
    assert line[8:] == " 200 ok chat/completions smart -> gpt-4o 503 ms, 12+34 tokens, $0.000370\n"
    unknown = log.line(settle(call(attempt(Usage(1, 2, estimated=True), deployment=FREE_OF_PRICE)))).decode()
    assert unknown.endswith("smart -> llama-eu 503 ms, ~1+2 tokens, unpriced\n")
    refused = log.line(settle(call(status=429, error_code="rate_limited", model="\x1b[2J"))).decode()
    assert refused[8:] == " 429 denied_rate chat/completions \\x1b[2J -> no attempt 503 ms, rate_limited\n"


def a_hedged_call(*, hedge_won: bool) -> Call:
    first, hedge = attempt(Usage(1, 1), first_token_s=1000.1), attempt(Usage(2, 2), number=2, deployment=FREE_OF_PRICE)
    hedge.kind = AttemptKind.HEDGE
    winner, loser = (hedge, first) if hedge_won else (first, hedge)
    winner.first_token_s, loser.first_token_s = 1000.2, None
    loser.cancelled, loser.stopped, loser.ended_s = True, HEDGE_LOST, 1000.2
    finished = call(first, hedge, stream=True)
    finished.answering = winner
    return finished


def test_a_hedged_call_tells_of_the_answer_that_went_out() -> None:
    line = logged(a_hedged_call(hedge_won=False))
    assert (line["deployment"], line["timing_ms"]) == (
        "gpt-4o",
        {"total": 503.0, "overhead": 5.0, "queue": 0.0, "auth": None, "ttft": 200.0, "upstream": 498.0},
    )
    assert line["attempts"] == [
        {"deployment": "gpt-4o", "outcome": "ok", "status": None, "ms": 498.0},
        {"deployment": "llama-eu", "outcome": "hedge_lost", "status": None, "ms": 198.0, "kind": "hedge"},
    ]
    line = logged(a_hedged_call(hedge_won=True))
    assert (line["deployment"], line["tokens"]["input"]) == ("llama-eu", 3)  # type: ignore[index]


def test_people_see_which_attempt_went_beside_which() -> None:
    line = RequestLog(as_json=False).line(settle(a_hedged_call(hedge_won=True))).decode()
    assert "smart -> gpt-4o | llama-eu" in line


def test_each_call_of_an_engine_tells_its_own_times() -> None:
    log = RequestLog(as_json=True)
    times = [json.loads(log.line(settle(from_an_engine(queue_s=queue_s))))["engine_ms"] for queue_s in (0.25, 0.5)]
    assert times == [{"queue": wait, "prefill": 500.0, "decode": 2000.0, "compute": 1250.0} for wait in (250.0, 500.0)]


def test_a_hit_says_what_it_came_from_and_what_it_saved() -> None:
    line = logged(cached_hit())
    assert line["cache"] == {
        "result": "hit",
        "kind": "semantic",
        "level": "semantic",
        "id": "ce_1",
        "age_s": 31.0,
        "risk": 0.0042,
        "bar": 0.01,
        "similarity": 0.9712,
        "lookup_ms": 12.1,
        "saved_nano_usd": 350_000,
        "saved_tokens": 110,
    }
    assert (line["outcome"], line["deployment"], line["model_served"]) == ("ok", "gpt-4o", "gpt-4o-2024-08-06")
    timing = {"total": 503.0, "overhead": 503.0, "queue": 0.0, "auth": None, "ttft": None, "upstream": 0.0}
    assert line["timing_ms"] == timing
    cost = line["cost"]
    assert isinstance(cost, dict)
    assert (cost["total_nano_usd"], cost["saved_nano_usd"], cost["components"]) == (0, 350_000, None)
    assert not {"attempts", "tokens"} & line.keys()


@pytest.mark.parametrize("waited", [{"joined": "req_1"}, {"judged": True}])
def test_what_a_hit_waited_for_others_is_no_overhead(waited: dict[str, Any]) -> None:
    timing = logged(cached_hit(**waited))["timing_ms"]
    assert isinstance(timing, dict)
    assert (timing["total"], timing["overhead"], timing["upstream"]) == (503.0, 0.0, 0.0)


def test_a_miss_says_so_whatever_calls_without_a_cache_said_before() -> None:
    log = RequestLog(as_json=True)
    assert b'"cache"' not in log.line(settle(answered()))
    missed = answered()
    missed.cached = Cached(similarity=0.8, risk=0.5, bar=0.01, lookup_s=0.002)
    told = json.loads(log.line(settle(missed)))["cache"]
    assert told == {"result": "miss", "kind": "semantic", "risk": 0.5, "bar": 0.01, "similarity": 0.8, "lookup_ms": 2.0}
    assert b'"cache"' not in log.line(settle(answered()))


def test_people_see_a_hit_as_it_goes_by() -> None:
    finished = cached_hit()
    line = RequestLog(as_json=False).line(settle(finished)).decode()
    assert line.endswith(" 200 ok chat/completions smart -> cache (semantic, 31 s old, p 0.0042) 503 ms\n")
