from __future__ import annotations

from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint


def test_a_request_asks_for_one_choice_unless_it_says_more() -> None:
    assert InferenceRequest(Endpoint.CHAT, "smart", False, False, {}, 2).choices == 1


def test_a_refusal_says_what_and_where() -> None:
    refusal = InvalidRequest("too hot", "temperature")
    assert (str(refusal), refusal.param, refusal.code, refusal.status) == (
        "too hot",
        "temperature",
        "invalid_value",
        400,
    )
