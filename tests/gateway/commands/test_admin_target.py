from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.admin_client import CommandError
from gateway.commands.admin_target import DEFAULT_URL, client_of, is_open_to_view, url_of
from gateway.config import Address
from gateway.user_socket import BESIDE_THE_KEY, bound

POLICY = """\
server: {admin: "ADMIN"}
secrets: {admin_token: "${env:TOKEN}"}
providers: {p: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}}
deployments: {a: {provider: p, model: m}}
routes: [{model: r, targets: [a]}]
"""
ENVIRON = {"TOKEN": "token-of-the-policy-0123"}


def where(**given: Any) -> Namespace:
    return Namespace(**({"config": None, "url": None, "token_file": None} | given))


def policy(folder: Path, admin: str = "0.0.0.0:9000") -> Path:
    file = folder / "policy.yaml"
    file.write_text(POLICY.replace("ADMIN", admin))
    return file


def test_a_policy_file_says_where_and_with_which_token(tmp_path: Path) -> None:
    client = client_of(where(config=policy(tmp_path)), ENVIRON | {"POINTSMAN_ADMIN_TOKEN": "another"})
    assert (client._url, client._token) == ("http://127.0.0.1:9000", ENVIRON["TOKEN"])


def test_without_one_it_is_the_default_and_the_environment() -> None:
    client = client_of(where(), {"POINTSMAN_ADMIN_TOKEN": "here"})
    assert (client._url, client._token) == ("http://127.0.0.1:8081", "here")
    assert client_of(where(), {})._token is None


def test_a_token_file_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" in-the-file\n")
    client = client_of(where(token_file=file, url="http://[::1]:1"), {"POINTSMAN_ADMIN_TOKEN": "here"})
    assert client._token == "in-the-file"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_without_a_token_is_refused_and_its_name_not_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "a-secret-taken-for-a-file"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError) as failed:
        client_of(where(token_file=file), {})
    assert failed.value.exit_code == 2
    assert "a-secret" not in str(failed.value)


def test_a_bad_policy_or_a_port_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    for file, said in ((policy(tmp_path, "127.0.0.1:0"), "--url"), (tmp_path / "none.yaml", "cannot be read")):
        with pytest.raises(CommandError, match=said) as failed:
            client_of(where(config=file), ENVIRON)
        assert failed.value.exit_code == 2


def test_a_token_in_the_open_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    client_of(where(url="http://10.0.0.1:8081"), {"POINTSMAN_ADMIN_TOKEN": "here"})
    assert "plain HTTP" in capsys.readouterr().err
    here = ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://a.example", "unix:///a")
    assert [url for url in (*here, "http://a.example") if is_open_to_view(url)] == ["http://a.example"]
    assert url_of(Address("::", 1)) == "http://[::1]:1"


@pytest.fixture
def typed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where `make run` may have been typed, and the commands after it."""
    (tmp_path / ".run").mkdir()
    monkeypatch.chdir(tmp_path)
    return Path(BESIDE_THE_KEY)


def test_what_make_run_serves_here_is_asked_without_a_word(typed_in: Path, tmp_path: Path) -> None:
    with bound(typed_in) as listening:
        listening.listen()
        client = client_of(where(), {})
        assert (client.url, client._token) == (f"unix://{tmp_path}/.run/admin.sock", None)
        assert client_of(where(), {"POINTSMAN_ADMIN_TOKEN": "here"}).url == DEFAULT_URL
        assert client_of(where(url="http://127.0.0.1:9"), {}).url == "http://127.0.0.1:9"
        assert client_of(where(config=policy(tmp_path)), ENVIRON).url == "http://127.0.0.1:9000"
    assert client_of(where(), {}).url == DEFAULT_URL


def test_a_file_in_its_place_is_no_gateway(typed_in: Path) -> None:
    typed_in.write_text("")
    assert client_of(where(), {}).url == DEFAULT_URL
