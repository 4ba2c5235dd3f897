from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.records.settlement import settle
from gateway.signals.profiles.langfuse import langfuse, usage_details
from gateway.signals.spans import spans_of
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import answered, attempt, call

COUNT = st.integers(0, 10**6)


def test_an_attempt_is_a_generation_whose_buckets_are_disjoint() -> None:
    server, client = (langfuse(span).attributes for span in spans_of(settle(answered(Usage(100, 10, 40, 20, 4)))))
    assert (server["langfuse.observation.type"], client["langfuse.observation.type"]) == ("span", "generation")
    assert server["langfuse.trace.name"] == "POST /v1/chat/completions"
    assert client["langfuse.observation.model.name"] == "gpt-4o-2024-08-06"
    assert json.loads(str(client["langfuse.observation.usage_details"])) == {
        "input": 40,
        "input_cached_tokens": 40,
        "input_cache_creation": 20,
        "output": 6,
        "output_reasoning_tokens": 4,
        "total": 110,
    }
    assert json.loads(str(client["langfuse.observation.cost_details"])) == {
        "input": 0.0001,
        "input_cached_tokens": 0.00005,
        "input_cache_creation": 0.00006,
        "output": 0.0001,
        "total": 0.00031,
    }


def test_nothing_is_left_that_would_be_counted_beside_them() -> None:
    spans = spans_of(settle(answered(Usage(100, 10, 40, 20, 4))))
    told = [langfuse(span).attributes for span in spans]
    assert any(name.startswith("gen_ai.usage.") for name in spans[-1].attributes)
    assert not any(name.startswith("gen_ai.usage.") for attributes in told for name in attributes)
    assert told[-1]["pointsman.cost.total"] == 0.00031


def test_a_failure_is_said_in_its_words() -> None:
    refused = attempt(failure=Failure(FailureKind.STATUS, "overloaded", status=529))
    client = langfuse(spans_of(settle(call(refused)))[-1]).attributes
    assert client["langfuse.observation.level"] == "ERROR"
    assert client["langfuse.observation.status_message"] == "overloaded"


@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT).map(lambda counts: Usage(*counts)))
def test_each_token_is_counted_once(usage: Usage) -> None:
    buckets = usage_details(usage)
    total = buckets.pop("total")
    assert sum(buckets.values()) == total == usage.input_tokens + usage.output_tokens
    assert all(tokens >= 0 for tokens in buckets.values())


@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT).map(lambda counts: Usage(*counts)))
def test_the_parts_of_a_cost_come_to_its_total(usage: Usage) -> None:
    client = langfuse(spans_of(settle(answered(usage)))[-1])
    cost = json.loads(str(client.attributes["langfuse.observation.cost_details"]), parse_float=Decimal)
    total = cost.pop("total")
    assert sum(map(Decimal, cost.values())) == total
