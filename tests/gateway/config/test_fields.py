"""The values that models are made of, through the models that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

NAME = "must be 1 to 100 letters, digits and . _ : @ / - and begin with a letter or digit"
URL = "must be an address such as https://api.example.com/v1"


def openai(setting: str) -> str:
    return f"{{openai: {{kind: openai, api_key: none, {setting}}}}}"


@pytest.mark.parametrize("name", ["a", "4", "gpt-4o@eu", "a/b:c.d_e", "x" * 100])
def test_names_may_look_like_models(name: str, made: Callable[..., Config]) -> None:
    config = made(
        deployments=f"{{'{name}': {{provider: openai, model: m}}}}", routes=f"[{{model: x, targets: ['{name}']}}]"
    )
    assert list(config.deployments) == [name]


@pytest.mark.parametrize("name", ["", "-a", "a b", "é", "x" * 101, "a\\nb"])
def test_other_names_are_refused(name: str, problems: Callable[..., list[str]]) -> None:
    found = problems(keys=f'[{{name: "{name}", secret: "${{env:K}}"}}]')
    assert f"4: keys[0].name: {NAME}" in found


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("max_connections: 0", "max_connections: must be at least 1"),
        ("max_connections: 10001", "max_connections: must be at most 10000"),
        ("max_connections: true", "max_connections: must be a whole number"),
        ("max_connections: 1.5", "max_connections: must be a whole number"),
        ("max_connections: many", "max_connections: must be a whole number"),
        ("max_connections: []", "max_connections: must be a whole number"),
        ("base_url: 5", "base_url: must be text; put it in quotes"),
        ("base_url: [a]", "base_url: must be text"),
        ("base_url: ftp://h", f"base_url: {URL}"),
        ("base_url: h/v1", f"base_url: {URL}"),
        ("base_url: 'http:///v1'", f"base_url: {URL}"),
        ("base_url: 'http://h:99999'", f"base_url: {URL}"),
        ("base_url: 'http://h:0'", f"base_url: {URL}"),
        ("base_url: 'http://[::1'", f"base_url: {URL}"),
        ("base_url: 'http://h/a b'", f"base_url: {URL}"),
        ("base_url: 'http://u:p@h'", "base_url: must not hold a user name or password"),
        ("base_url: 'http://u@h'", "base_url: must not hold a user name or password"),
        ("base_url: 'http://h/v1?key=x'", "base_url: must end before any ? or #"),
        ("base_url: 'http://h/v1#x'", "base_url: must end before any ? or #"),
        ("headers: x", "headers: must be a mapping"),
        ("headers: {'a b': x}", "headers.a b: is not a header name"),
        ("headers: {'': x}", "headers.: is not a header name"),
        ("headers: {Host: x}", "headers.Host: is a header that the gateway sets itself"),
        ("headers: {Transfer-Encoding: x}", "headers.Transfer-Encoding: is a header that the gateway sets itself"),
        ('headers: {x: "a\\r\\nb: c"}', "headers.x: has a line break or another character that no header has"),
        ("headers: {x: ' a'}", "headers.x: has a line break or another character that no header has"),
        ("headers: {x: ''}", "headers.x: must not be empty"),
        ("headers: {x: 5}", "headers.x: must be text; put it in quotes"),
        ("forward_headers: x-a", "forward_headers: must be a list"),
        ("forward_headers: [Authorization]", "forward_headers[0]: is the caller's credential and never goes upstream"),
        ("forward_headers: [x-a, X-Api-Key]", "forward_headers[1]: is the caller's credential and never goes upstream"),
        ("forward_headers: [cookie]", "forward_headers[0]: is the caller's credential and never goes upstream"),
        ("forward_headers: [connection]", "forward_headers[0]: is a header that the gateway sets itself"),
    ],
)
def test_impossible_values_are_refused(setting: str, problem: str, problems: Callable[..., list[str]]) -> None:
    assert problems(providers=openai(setting)) == [f"1: providers.openai.{problem}"]


@pytest.mark.parametrize("value", ["a b", "a\\r\\nb", "a\\tb", "\\x7f", "é", " "])
def test_a_credential_that_no_header_could_carry_is_refused(value: str, problems: Callable[..., list[str]]) -> None:
    found = problems(providers=f'{{openai: {{kind: openai, api_key: "{value}"}}}}')
    message = "has a space, a line break or another character that no credential has"
    assert f"1: providers.openai.api_key: {message}" in found


def test_addresses_and_header_names_are_put_in_one_form(made: Callable[..., Config]) -> None:
    config = made(providers=openai("base_url: 'http://h:1/v1//', headers: {X-A: b c}, forward_headers: [X-B]"))
    provider = config.providers["openai"]
    assert provider.kind == "openai"
    assert provider.base_url == "http://h:1/v1"
    assert {name: value.reveal() for name, value in provider.headers.items()} == {"x-a": "b c"}
    assert provider.forward_headers == ("x-b",)


def test_tables_do_not_change(made: Callable[..., Config]) -> None:
    config = made()
    with pytest.raises(TypeError):
        config.providers["x"] = config.providers["openai"]  # type: ignore[index]
