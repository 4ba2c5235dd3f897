"""The three kinds of provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import LitellmProvider, LlamaCppProvider, OpenAIProvider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

NONE_OR_SECRET = "must be a secret such as ${env:NAME}, or the word none"


def with_openai(provider: str) -> str:
    return f"{{openai: {{kind: openai, api_key: none}}, x: {provider}}}"


def test_each_kind_has_its_defaults(made: Callable[..., Config], environ: dict[str, str], tmp_path: Path) -> None:
    environ["KEY"] = "sk-x"
    config = made(
        providers="{openai: {kind: openai, api_key: '${env:KEY}'}, "
        "l: {kind: llama_cpp, model_path: m/a.gguf}, r: {kind: litellm}}"
    )
    openai, llama, litellm = (config.providers[name] for name in ("openai", "l", "r"))
    assert isinstance(openai, OpenAIProvider)
    assert openai.api_key is not None
    assert (openai.api_key.reveal(), openai.base_url) == ("sk-x", "https://api.openai.com/v1")
    assert (openai.max_connections, dict(openai.headers), openai.forward_headers) == (256, {}, ())
    assert isinstance(llama, LlamaCppProvider)
    assert llama.model_path == str(tmp_path / "m" / "a.gguf")
    assert isinstance(litellm, LitellmProvider)
    assert (litellm.api_key, litellm.base_url, dict(litellm.settings)) == (None, None, {})


def test_settings_of_litellm_are_secrets(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ["AWS"] = "abc/def"
    config = made(
        providers=with_openai("{kind: litellm, settings: {aws_region_name: eu, aws_secret_access_key: '${env:AWS}'}}")
    )
    litellm = config.providers["x"]
    assert isinstance(litellm, LitellmProvider)
    assert litellm.settings["aws_secret_access_key"].reveal() == "abc/def"
    assert "abc/def" not in repr(config)


@pytest.mark.parametrize(
    ("provider", "found"),
    [
        ("", ["x: must be a mapping"]),
        ("openai", ["x: must be a mapping"]),
        ("{api_key: none}", ["x.kind: is missing: one of 'openai', 'llama_cpp', 'litellm'"]),
        ("{kind: opena}", ["x.kind: must be one of 'openai', 'llama_cpp', 'litellm' (did you mean 'openai'?)"]),
        ("{kind: 5}", ["x.kind: must be one of 'openai', 'llama_cpp', 'litellm'"]),
        ("{kind: openai}", ["x.api_key: is missing"]),
        ("{kind: openai, api_key: }", [f"x.api_key: {NONE_OR_SECRET}"]),
        ("{kind: openai, api_key: ''}", ["x.api_key: must not be empty"]),
        ("{kind: openai, api_key: 5}", ["x.api_key: must be text; put it in quotes"]),
        (
            "{kind: openai, api_key: none, api_base: x}",
            ["x.api_base: unknown key 'api_base' (did you mean 'api_key'?)"],
        ),
        ("{kind: litellm, api_ky: none}", ["x.api_ky: unknown key 'api_ky' (did you mean 'api_key'?)"]),
        ("{kind: litellm, settings: {model: x}}", ["x.settings.model: is decided by the gateway, call by call"]),
        (
            "{kind: litellm, settings: {A-b: x}}",
            ["x.settings.A-b: is not a setting's name: lower-case words joined by _"],
        ),
        (
            "{kind: litellm, settings: {mock_responses: x}}",
            ["x.settings.mock_responses: is not a setting of litellm's providers, such as aws_region_name"],
        ),
        ("{kind: litellm, settings: {aws_a: 5}}", ["x.settings.aws_a: must be text; put it in quotes"]),
        (
            '{kind: litellm, settings: {oci_a: "x\\ny"}}',
            ["x.settings.oci_a: has a line break or another control character"],
        ),
        (
            "{kind: openai, api_key: '${env:KEY}', headers: {Authorization: Basic x}}",
            ["x: has both api_key and an authorization header; use one (api_key: none for the header)"],
        ),
    ],
)
def test_problems(provider: str, found: list[str], problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    environ["KEY"] = "sk-x"
    assert [problem for problem in problems(providers=with_openai(provider)) if "warning" not in problem] == [
        f"1: providers.{problem}" for problem in found
    ]
