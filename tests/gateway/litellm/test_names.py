from __future__ import annotations

import pytest

from gateway.litellm.names import is_setting, provider_of


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("bedrock/amazon.nova-lite-v1:0", "bedrock"),
        ("bedrock/eu-central-1/m", "bedrock"),
        ("gpt-4o", None),
        ("/m", None),
        ("bedrock/", None),
        ("", None),
    ],
)
def test_a_model_names_its_provider_first(model: str, provider: str | None) -> None:
    assert provider_of(model) == provider


def test_settings_say_how_to_sign_in_and_where_and_no_more() -> None:
    names = ("aws_region_name", "vertex_project", "client_secret", "mock_response", "api_base", "aws")
    assert [name for name in names if is_setting(name)] == ["aws_region_name", "vertex_project", "client_secret"]
