from __future__ import annotations

import pytest

from gateway.prices.whose import listed_as, names_of, provider_of, spellings


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("gpt-4o", []),
        ("gpt-4o-2024-08-06", ["gpt-4o"]),
        ("claude-opus-4-20250514", ["claude-opus-4"]),
        ("claude-opus-4@20250514", ["claude-opus-4"]),
        ("command-r-08-2024", ["command-r"]),
        ("gemini-1.5-pro-002", ["gemini-1.5-pro"]),
        ("anthropic.claude-3-haiku-20240307-v1:0", ["anthropic.claude-3-haiku-20240307", "anthropic.claude-3-haiku"]),
        ("ft:gpt-4o-2024-08-06:acme::id", ["ft:gpt-4o-2024-08-06", "ft:gpt-4o"]),
        ("gpt-4-32k", []),
        ("gpt-3.5-turbo-1106", []),
        ("llama-3.1-70b", []),
    ],
)
def test_spellings(name: str, others: list[str]) -> None:
    assert list(spellings(name)) == [name, *others]


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "provider"),
    [
        ("openai", None, "x", "openai"),
        ("openai", "https://EU.api.openai.com/v1", "x", "openai"),
        ("openai", "https://acme.openai.azure.com", "x", "azure"),
        ("openai", "https://user:secret@api.groq.com:443/openai/v1", "x", "groq"),
        ("litellm", None, "together_ai/x", "together"),
        ("litellm", "https://europe-west4-aiplatform.googleapis.com", "vertex_ai/x", "vertex_ai"),
        ("litellm", "https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock/x", "aws"),
        ("litellm", "https://api.deepinfra.com/v1/openai", "openai/x", "deepinfra"),
    ],
)
def test_whose_prices(kind: str, base_url: str | None, model: str, provider: str) -> None:
    assert provider_of(kind, base_url, model) == provider


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "listed"),
    [
        ("openai", None, "gpt-4o", ("openai", "gpt-4o")),
        ("litellm", None, "bedrock/converse/nova", ("aws", "converse/nova")),
        ("litellm", None, "gpt-4o", None),
        ("openai", "http://10.0.0.7:8000/v1", "gpt-4o", None),
        ("llama_cpp", None, "gpt-4o", None),
    ],
)
def test_what_tables_would_list_it_as(
    kind: str, base_url: str | None, model: str, listed: tuple[str, str] | None
) -> None:
    assert listed_as(kind, base_url, model) == listed


def test_a_second_list_of_the_same_company_is_looked_at_last() -> None:
    assert list(names_of("vertex_ai", "gemini-1.5-pro-002")) == [
        ("vertex_ai", "gemini-1.5-pro-002"),
        ("vertex_ai", "gemini-1.5-pro"),
        ("google", "gemini-1.5-pro-002"),
        ("google", "gemini-1.5-pro"),
    ]
