from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, server_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes

from gateway.signals.conventions import MODALITIES, Attr, Happened, Mark, Semconv, Wording, operation_of, provider_name
from policies.vocabulary import Endpoint

# Published with v1.41's package, which the lock file pins: a new package must not rename anything by itself.
PUBLISHED = {
    str(value)
    for module in (gen_ai_attributes, server_attributes, error_attributes, http_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
# https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai, as of 2026-11-21; it has no tagged version.
LATEST = {
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.cache_read.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "gen_ai.usage.image.input_tokens",
    "gen_ai.usage.image.output_tokens",
}
# What nobody has published: a custom of backends, and pull request 443 of the same repository.
CUSTOMS = {
    "gen_ai.usage.cost",
    "gen_ai.usage.cost.amount",
    "gen_ai.usage.cost.currency",
    "gen_ai.usage.cost.source",
}
OURS = {value for name, value in vars(Attr).items() if not name.startswith("_")}
THEIRS = {name for name in OURS if not name.startswith("pointsman.")}
PROVIDERS = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}


def test_the_names_of_1_41_are_the_published_ones() -> None:
    wording = Wording(Semconv.V1_41)
    assert {wording.of(name) for name in THEIRS} - PUBLISHED == CUSTOMS
    assert len(THEIRS & PUBLISHED) >= 25


def test_the_latest_names_of_usage_are_those_of_the_repository() -> None:
    wording = Wording(Semconv.LATEST)
    usage = {wording.of(name) for name in THEIRS if name.startswith("gen_ai.usage.")} - CUSTOMS
    assert usage | set(MODALITIES.values()) == LATEST
    rest = {wording.of(name) for name in THEIRS if not name.startswith("gen_ai.usage.")}
    assert rest <= PUBLISHED, "nothing else was renamed"


def test_no_name_is_there_twice_and_none_of_theirs_is_a_namespace_of_another() -> None:
    names = [value for name, value in vars(Attr).items() if not name.startswith("_")]
    assert len(set(names)) == len(names)
    both = {name for name in THEIRS if any(other.startswith(f"{name}.") for other in THEIRS)}
    assert both == {"gen_ai.usage.cost"}, "a policy chooses between the two ways of telling costs"


def test_what_the_path_leaves_behind_is_named_apart() -> None:
    marks = [value for name, value in vars(Mark).items() if not name.startswith("_")]
    events = [value for name, value in vars(Happened).items() if not name.startswith("_")]
    assert len({*marks, *events}) == len(marks) + len(events)
    assert all(name.startswith("pointsman.") for name in (*marks, *events))


@pytest.mark.parametrize(
    "known_as", ["openai", "anthropic", "azure", "aws", "google", "mistral", "x-ai", "groq", "cohere"]
)
def test_providers_that_opentelemetry_has_a_word_for_are_called_by_it(known_as: str) -> None:
    assert provider_name(known_as) in PROVIDERS


def test_others_keep_their_name() -> None:
    assert [provider_name(name) for name in ("hosted_vllm", "openrouter", "llama_cpp")] == [
        "vllm",
        "openrouter",
        "llama_cpp",
    ]


def test_what_is_asked_for_has_the_published_word() -> None:
    told = {endpoint: operation_of(endpoint) for endpoint in Endpoint}
    published = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    assert told[Endpoint.CHAT] == told[Endpoint.RESPONSES] == "chat"
    assert told[Endpoint.COMPLETIONS] == "text_completion"
    assert told[Endpoint.EMBEDDINGS] == "embeddings"
    assert set(told.values()) - published == {"rerank"}, "which the conventions have no word for"
