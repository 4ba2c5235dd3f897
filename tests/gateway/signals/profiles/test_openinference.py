from __future__ import annotations

from gateway.records.settlement import settle
from gateway.signals.conventions import UsageShown, Wording
from gateway.signals.profiles.openinference import openinference
from gateway.signals.spans import spans_of
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Endpoint
from tests.gateway.calls import answered

USAGE = Usage(100, 10, 40, 20, 5, details=UsageDetails(output_audio_tokens=2))


def added(name: str, wording: Wording = Wording()) -> dict[str, object]:  # noqa: B008 - a frozen value
    """What the profile adds to the spans of a call, of the span whose name begins so."""
    one = answered(USAGE._replace(details=None))
    (span,) = [span for span in spans_of(settle(one), wording) if span.name.startswith(name)]
    told = openinference(span)
    assert told._replace(attributes=span.attributes) == span
    assert span.attributes.items() <= told.attributes.items()
    return {key: value for key, value in told.attributes.items() if key not in span.attributes}


def test_an_attempt_is_a_model_with_tokens_and_costs() -> None:
    assert added("chat") == {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.provider": "openai",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 10,
        "llm.token_count.total": 110,
        "llm.token_count.prompt_details.cache_read": 40,
        "llm.token_count.prompt_details.cache_write": 20,
        "llm.token_count.completion_details.reasoning": 5,
        "llm.cost.prompt": 0.00021,
        "llm.cost.completion": 0.0001,
        "llm.cost.total": 0.00031,
        "llm.cost.prompt_details.input": 0.0001,
        "llm.cost.prompt_details.cache_read": 0.00005,
        "llm.cost.prompt_details.cache_write": 0.00006,
        "llm.cost.completion_details.output": 0.0001,
    }


def test_the_request_is_a_chain_and_counts_nothing() -> None:
    assert added("POST") == {"openinference.span.kind": "CHAIN"}


def test_what_is_not_to_be_counted_is_not_said() -> None:
    told = added("chat", Wording(usage=UsageShown.NEVER))
    assert set(told) == {"openinference.span.kind", "llm.model_name", "llm.provider"}


def test_embeddings_have_a_kind_of_their_own() -> None:
    one = answered(Usage(5, 0))
    one.request.endpoint = Endpoint.EMBEDDINGS
    told = openinference(spans_of(settle(one))[-1]).attributes
    assert (told["openinference.span.kind"], told["embedding.model_name"]) == ("EMBEDDING", "gpt-4o-2024-08-06")


def test_sound_is_a_detail() -> None:
    span = spans_of(settle(answered(Usage(100, 10))))[-1]
    assert span.told is not None
    told = openinference(span._replace(told=span.told._replace(usage=USAGE))).attributes
    assert told["llm.token_count.completion_details.audio"] == 2
