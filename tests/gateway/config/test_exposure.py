"""Listeners, keys, credentials and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import exposure
from gateway.keys.virtual_keys import generate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = "[{name: a, secret: '${env:KEY}'}]"
NO_KEYS = "server.listen: without keys the gateway listens on loopback only; add keys, or use 127.0.0.1"
NO_TOKEN = "server.admin: without secrets.admin_token the admin listener stays on loopback"
NO_EXTRA = "warning: run pip install '.[{}]'"
PLAIN = "warning: is a secret in plain text; a reference such as ${env:NAME} keeps it out of the file"


@pytest.fixture
def environ() -> dict[str, str]:
    return {"KEY": "k" * 20, "OTHER": "o" * 20, "TOKEN": "t" * 20}


@pytest.mark.parametrize(
    ("server", "others", "found"),
    [
        ("{}", {}, []),
        ("{listen: 'localhost:80', admin: '[::1]:81'}", {}, []),
        ("{listen: '0.0.0.0:80'}", {}, [NO_KEYS]),
        ("{listen: 'gateway.example.com:80'}", {}, [NO_KEYS]),
        ("{listen: '0.0.0.0:80'}", {"keys": "[]"}, [NO_KEYS]),
        ("{listen: '0.0.0.0:80'}", {"keys": ""}, [NO_KEYS, "keys: must be a list"]),
        ("{listen: '0.0.0.0:80'}", {"keys": KEYS}, []),
        ("{admin: '0.0.0.0:81'}", {"keys": KEYS}, [NO_TOKEN]),
        ("{admin: '0.0.0.0:81'}", {"secrets": "{}"}, [NO_TOKEN]),
        ("{admin: '0.0.0.0:81'}", {"secrets": "{admin_token: '${env:TOKEN}'}"}, []),
        ("{listen: '127.0.0.1:8081'}", {}, ["server.admin: is the same address as server.listen"]),
        ("{listen: '127.0.0.1:0', admin: '127.0.0.1:0'}", {}, []),
        ("{listen: '0.0.0.0:8081'}", {"keys": KEYS}, ["server.admin: is the same address as server.listen"]),
    ],
)
def test_listeners(server: str, others: dict[str, str], found: list[str], problems: Callable[..., list[str]]) -> None:
    lines = [line.split(": ", 1)[1] for line in problems(server=server, **others)]
    assert sorted(lines) == sorted(found)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("[{name: a, secret: '${env:KEY}'}, {name: b, secret: '${env:OTHER}'}]", []),
        (
            "[{name: a, secret: '${env:KEY}'}, {name: a, secret: '${env:OTHER}'}]",
            ["keys[1].name: is also the name of keys[0]"],
        ),
        (
            "[{name: a, secret: '${env:KEY}'}, {name: b, secret: '${env:KEY}'}]",
            ["keys[1].secret: is also the secret of keys[0]"],
        ),
        (
            "[{name: a, secret: '${env:KEY}', expires: 2020-01-01}]",
            ["keys[0].expires: warning: is in the past: this key no longer works"],
        ),
        ("[{name: a, secret: '${env:KEY}', expires: 2099-01-01}]", []),
        ("[{name: a, secret: kkkkkkkkkkkkkkkkkkkkkk}]", [f"keys[0].secret: {PLAIN}"]),
    ],
)
def test_keys(keys: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert problems(keys=keys) == [f"4: {line}" for line in found]


@pytest.mark.parametrize(
    ("secrets", "keys", "same"),
    [
        ("{admin_token: '${env:TOKEN}'}", "[{name: a, secret: '${env:KEY}'}]", None),
        ("{admin_token: '${env:KEY}'}", "[{name: a, secret: '${env:KEY}'}]", "keys[0].secret"),
        ("{admin_token: '${env:KEY}', pepper: '${env:KEY}'}", "[]", "secrets.pepper"),
        ("{admin_token: '${env:KEY}', peppers: ['${env:OTHER}', '${env:KEY}']}", "[]", "secrets.peppers[1]"),
    ],
)
def test_the_admin_token_is_the_same_as_nothing_else(
    secrets: str, keys: str, same: str | None, problems: Callable[..., list[str]]
) -> None:
    found = [line.split(": ", 1)[1] for line in problems(secrets=secrets, keys=keys) if "the same as" in line]
    assert found == ([] if same is None else [f"secrets.admin_token: is the same as {same}; choose another"])


def test_keys_of_our_making_must_be_whole(problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    good = generate("test")
    typo = good[:-1] + ("a" if good[-1] != "a" else "b")
    environ |= {"GOOD": good, "TYPO": typo, "CUT": good[:-3]}
    keys = ", ".join(f"{{name: {name}, secret: '${{env:{name}}}'}}" for name in ("GOOD", "TYPO", "CUT"))
    assert problems(keys=f"[{keys}]") == [
        "4: keys[1].secret: has a wrong checksum: a key of `pointsman keys generate` that was changed since",
        "4: keys[2].secret: begins with sk-pm- but is not a whole key of `pointsman keys generate`",
    ]


def test_credentials_in_the_file_itself_are_warned_of(problems: Callable[..., list[str]]) -> None:
    found = problems(
        providers="{openai: {kind: openai, api_key: sk-plain}}",
        secrets="{pepper: pppppppppppppppppppp, admin_token: '${env:TOKEN}'}",
    )
    assert found == [f"1: providers.openai.api_key: {PLAIN}", f"4: secrets.pepper: {PLAIN}"]


def test_so_are_credentials_among_headers_and_settings(problems: Callable[..., list[str]]) -> None:
    found = problems(
        providers="{openai: {kind: openai, api_key: none, headers: {api-key: abc, x-title: t, x-token: '${env:KEY}'}}, "
        "aws: {kind: litellm, settings: {aws_region_name: eu, aws_secret_access_key: abc}}, odd: {headers: [a]}}",
        telemetry="{otlp: {endpoint: 'http://127.0.0.1:4318', headers: {x-tenant: a, x-token: abc}}, "
        "metrics: {otlp: {endpoint: 'http://127.0.0.1:4318', headers: {x-token: abc}}}}",
    )
    assert [line for line in found if PLAIN in line] == [
        f"1: providers.openai.headers.api-key: {PLAIN}",
        f"1: providers.aws.settings.aws_secret_access_key: {PLAIN}",
        f"4: telemetry.otlp.headers.x-token: {PLAIN}",
        f"4: telemetry.metrics.otlp.headers.x-token: {PLAIN}",
    ]


@pytest.mark.parametrize(
    ("is_there", "found"),
    [
        (True, []),
        (
            False,
            [f"1: providers.lite.kind: {NO_EXTRA.format('litellm')}", f"4: telemetry.otlp: {NO_EXTRA.format('otlp')}"],
        ),
    ],
)
def test_missing_extras_are_warned_of(
    problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, *, is_there: bool, found: list[str]
) -> None:
    monkeypatch.setattr(exposure, "is_installed", lambda _: is_there)
    monkeypatch.setattr(exposure, "remedy", lambda extra: f"run pip install '.[{extra.name}]'")
    providers = "{openai: {kind: openai, api_key: none}, lite: {kind: litellm}}"
    assert problems(providers=providers, telemetry="{otlp: {endpoint: 'http://127.0.0.1:4318'}}") == found


def test_a_kind_that_is_no_text_needs_no_extra(problems: Callable[..., list[str]]) -> None:
    (line,) = problems(providers="{openai: {kind: openai, api_key: none}, odd: {kind: [litellm]}}")
    assert line.startswith("1: providers.odd.kind: must be one of")


def test_missing_files_are_warned_of(problems: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "here.pem").touch()
    found = problems(
        providers="{openai: {kind: openai, api_key: none}, "
        "a: {kind: llama_cpp, model_path: no.gguf, chat_template: here.pem}, "
        "b: {kind: llama_cpp, model_path: 'package:no_such_package', chat_template: no.jinja}}",
        server="{tls: {cert: here.pem, key: no.pem}}",
    )
    missing = "warning: there is no such file on this machine"
    assert found == [
        f"1: providers.a.model_path: warning: there is no file {tmp_path / 'no.gguf'}",
        "1: providers.b.model_path: warning: the Python package no_such_package is not installed",
        f"1: providers.b.chat_template: {missing}",
        f"4: server.tls.key: {missing}",
    ]


def test_each_of_several_credentials_is_better_a_reference(
    problems: Callable[..., list[str]], environ: dict[str, str]
) -> None:
    environ["KEY"] = "sk-x"
    keys = "[{name: a, key: sk-plain}, {name: b, key: '${env:KEY}'}]"
    lines = problems(providers=f"{{openai: {{kind: openai, api_keys: {keys}}}}}")
    assert lines == [f"1: providers.openai.api_keys[0].key: {PLAIN}"]
