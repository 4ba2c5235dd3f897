from typing import Any

import pytest

from gateway.importing.litellm_models import Model, Tables, keyless_variable, maker_of, per_million, read_model
from gateway.importing.sections import Notes, Section


def read(entry: dict[str, Any], tables: Tables | None = None) -> tuple[Model | None, Tables, list[str]]:
    tables, notes = tables or Tables(), Notes()
    return read_model(Section("m", entry, notes), tables), tables, [str(note) for note in notes.all()]


@pytest.mark.parametrize(
    ("written", "said", "maker", "model"),
    [
        ("azure/gpt-4o", None, "azure", "gpt-4o"),
        ("openai/org/model", None, "openai", "org/model"),
        ("gpt-4o", None, "openai", "gpt-4o"),
        ("claude-sonnet-4-5", None, "anthropic", "claude-sonnet-4-5"),
        ("my-own-model", None, None, "my-own-model"),
        ("my-own-model", "openai", "openai", "my-own-model"),
        ("groq/llama", "groq", "groq", "llama"),
    ],
)
def test_who_serves_a_model(written: str, said: str | None, maker: str | None, model: str) -> None:
    assert maker_of(written, Section("p", {"custom_llm_provider": said}, Notes())) == (maker, model)


def test_a_server_that_speaks_openai_is_reached_directly() -> None:
    params = {"model": "hosted_vllm/llama-3.1-8b", "api_base": "http://10.0.0.7:8000/v1/", "rpm": 60, "tpm": "90000"}
    found, tables, notes = read({"model_name": "small", "litellm_params": params})
    assert tables.providers == {
        "hosted_vllm": {"kind": "openai", "base_url": "http://10.0.0.7:8000/v1", "api_key": "none"}
    }
    assert tables.deployments == {
        "small": {
            "provider": "hosted_vllm",
            "model": "llama-3.1-8b",
            "limits": {"tokens": "90000/min", "requests": "60/min"},
        }
    }
    assert found == Model("small", "small", weight=60)
    assert notes == []


def test_another_provider_goes_through_litellm_with_its_settings() -> None:
    params = {
        "model": "bedrock/us.claude",
        "aws_region_name": "us-east-1",
        "aws_access_key_id": "os.environ/AWS_ID",
        "aws_secret_access_key": "plain",
        "region_name": "us",
        "temperature": 0.2,
    }
    info: dict[str, Any] = {
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 0.000015,
        "max_input_tokens": 200000,
    }
    info |= {"supports_vision": True, "supports_function_calling": False, "mode": "chat", "colour": "blue"}
    _, tables, notes = read({"model_name": "c", "litellm_params": params, "model_info": info})
    assert tables.providers["bedrock"]["settings"] == {
        "aws_region_name": "us-east-1",
        "aws_access_key_id": "${env:AWS_ID}",
        "aws_secret_access_key": "${env:BEDROCK_AWS_SECRET_ACCESS_KEY}",
    }
    assert tables.deployments["c"] == {
        "provider": "bedrock",
        "model": "bedrock/us.claude",
        "region": "us",
        "context_tokens": 200000,
        "price": {"input": 3.0, "output": 15.0},
        "supports": ["images"],
        "lacks": ["tools"],
    }
    assert [note.partition(":")[0] for note in notes] == [
        "m.litellm_params.aws_secret_access_key",
        "m.litellm_params.temperature",
        "m.model_info.colour",
    ]
    assert not any("plain" in note for note in notes)


def test_a_secret_in_the_file_is_never_copied_and_each_has_a_variable_of_its_own() -> None:
    tables = Tables()
    for key in ("sk-first", "sk-second", "sk-first"):
        read({"model_name": "g", "litellm_params": {"model": "gpt-4o", "api_key": key}}, tables)
    keys = [provider["api_key"] for provider in tables.providers.values()]
    assert keys == ["${env:OPENAI_API_KEY}", "${env:OPENAI_API_KEY_2}"]
    assert [deployment["provider"] for deployment in tables.deployments.values()] == ["openai", "openai-2", "openai"]
    assert len(set(tables.deployments)) == 3
    assert "sk-" not in str(tables.providers) + str(tables.deployments)


@pytest.mark.parametrize(
    ("params", "variable"),
    [
        ({"model": "gpt-4o"}, "OPENAI_API_KEY"),
        ({"model": "azure/gpt-4o", "api_base": "https://a.example"}, "AZURE_API_KEY"),
        ({"model": "gpt-4o", "api_key": "sk-1"}, None),
        ({"model": "hosted_vllm/llama", "api_base": "http://10.0.0.7/v1"}, None),
        ({"model": "who-knows"}, None),
        ("gpt-4o", None),
    ],
)
def test_an_entry_without_a_key_is_served_with_its_makers(params: object, variable: str | None) -> None:
    assert keyless_variable({"model_name": "who-knows", "litellm_params": params}) == variable


def test_headers_go_along_and_secret_ones_by_reference() -> None:
    extra = {"X-Team": "a", "X-Auth": "s3cret", "no name": "x"}
    params = {"model": "openai/gpt-4o", "api_key": "os.environ/K", "organization": "org-1", "extra_headers": extra}
    _, tables, notes = read({"model_name": "g", "litellm_params": params})
    assert tables.providers["openai"]["headers"] == {
        "openai-organization": "org-1",
        "X-Team": "a",
        "X-Auth": "${env:OPENAI_X_AUTH}",
    }
    assert [note.partition(": ")[0] for note in notes] == [
        "m.litellm_params.extra_headers.X-Auth",
        "m.litellm_params.extra_headers.no name",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"model_name": "a"},
        {"model_name": "a", "litellm_params": {"rpm": 3}},
        {"litellm_params": {"model": "gpt-4o"}},
        {"model_name": "*", "litellm_params": {"model": "*"}},
        {"model_name": "anthropic/*", "litellm_params": {"model": "anthropic/*"}},
        {"model_name": "a", "litellm_params": {"model": "who-knows"}},
        {"model_name": "a", "litellm_params": "gpt-4o"},
    ],
)
def test_an_entry_without_a_counterpart_is_left_out_and_told(entry: dict[str, Any]) -> None:
    found, tables, notes = read(entry)
    assert found is None
    assert tables == Tables()
    assert notes


@pytest.mark.parametrize(
    ("entry", "weight"),
    [
        ({"rpm": 10}, 10),
        ({"tpm": 5_000_000_000}, 1_000_000),
        ({"tpm": 100, "rpm": 3}, 3),
        ({"rpm": 3, "weight": 7}, 7),
        ({"weight": 0.05}, 5),
        ({}, 1),
    ],
)
def test_the_share_of_a_deployment(entry: dict[str, Any], weight: int) -> None:
    found, _, _ = read({"model_name": "g", "litellm_params": {"model": "gpt-4o"} | entry})
    assert found is not None
    assert found.weight == weight


def test_a_budget_needs_a_window_of_the_calendar() -> None:
    params = {"model": "gpt-4o", "max_budget": 2.5, "budget_duration": "1d"}
    _, tables, notes = read({"model_name": "g", "litellm_params": params})
    assert tables.deployments["g"]["limits"] == {"cost": "2.5 USD/day"}
    assert notes == []
    _, tables, notes = read({"model_name": "g", "litellm_params": params | {"budget_duration": "36h"}})
    assert "limits" not in tables.deployments["g"]
    assert len(notes) == 1


def test_a_name_alone_is_the_model_of_that_name() -> None:
    _, tables, notes = read({"model_name": "gpt-4o"})
    assert tables.deployments == {"gpt-4o": {"provider": "openai", "model": "gpt-4o"}}
    assert notes == []


def test_prices_are_exact() -> None:
    assert per_million(1.5e-07) == 0.15
    assert per_million(0.0) == 0.0
