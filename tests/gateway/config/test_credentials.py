from __future__ import annotations

import pytest

from gateway.config.credentials import is_credential


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "x"),
        ("api-key", "x"),
        ("x-goog-api-key", "x"),
        ("x-token", "x"),
        ("cookie", "x"),
        ("X-Honeycomb-Team", "x"),
        ("aws_secret_access_key", "x"),
        ("aws_session_token", "x"),
        ("client_secret", "x"),
        ("azure_password", "x"),
        ("oci_key", "x"),
        ("x-anything", "Bearer abc"),
        ("x-anything", "basic abc"),
        ("vertex_credentials", '{"private_key": "-----BEGIN PRIVATE KEY-----"}'),
    ],
)
def test_what_lets_somebody_in_is_a_credential(name: str, value: str) -> None:
    assert is_credential(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai-organization", "org-1"),
        ("x-scope-orgid", "tenant"),
        ("user-agent", "keys/1"),
        ("anthropic-version", "2023-06-01"),
        ("aws_region_name", "eu-central-1"),
        ("aws_access_key_id", "AKIA"),
        ("oci_key_file", "/etc/oci.pem"),
        ("vertex_credentials", "/etc/gcp.json"),
        ("x-monkey", "x"),
    ],
)
def test_what_only_says_where_or_who_is_none(name: str, value: str) -> None:
    assert not is_credential(name, value)
