from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.records.settlement import settle
from gateway.signals.profiles.mlflow import mlflow
from gateway.signals.spans import spans_of
from policies.usage import Usage
from tests.gateway.calls import FREE_OF_PRICE, answered, attempt, call

COUNT = st.integers(0, 10**6)


def test_an_attempt_says_its_tokens_and_cost_in_json() -> None:
    server, client = (mlflow(span).attributes for span in spans_of(settle(answered(Usage(100, 10, 40, 20)))))
    assert server["mlflow.spanType"] == '"CHAIN"'
    assert client["mlflow.spanType"] == '"CHAT_MODEL"'
    assert json.loads(str(client["mlflow.llm.model"])) == "gpt-4o-2024-08-06"
    assert json.loads(str(client["mlflow.chat.tokenUsage"])) == {
        "input_tokens": 100,
        "output_tokens": 10,
        "total_tokens": 110,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 20,
    }
    cost = {"input_cost": 0.00021, "output_cost": 0.0001, "total_cost": 0.00031}
    assert json.loads(str(client["mlflow.llm.cost"])) == cost


def test_what_is_unpriced_has_no_cost_there_either() -> None:
    client = mlflow(spans_of(settle(call(attempt(Usage(1, 1), deployment=FREE_OF_PRICE))))[-1])
    assert "mlflow.llm.cost" not in client.attributes


@given(st.tuples(COUNT, COUNT, COUNT, COUNT).map(lambda counts: Usage(*counts)))
def test_the_two_sides_of_a_cost_come_to_its_total(usage: Usage) -> None:
    client = mlflow(spans_of(settle(answered(usage)))[-1])
    cost = json.loads(str(client.attributes["mlflow.llm.cost"]), parse_float=Decimal)
    assert Decimal(cost["input_cost"]) + Decimal(cost["output_cost"]) == Decimal(cost["total_cost"])
