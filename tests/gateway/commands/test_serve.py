"""`pointsman serve` up to the point of serving; what it does from there on is tested in tests/end_to_end."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.commands import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(folder: Path, **changes: object) -> Path:
    tree = {
        "server": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": "r", "targets": ["a"]}],
    } | changes
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_policy_with_mistakes_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, rout=[])
    assert serve.run(path, None) == 2
    assert "rout: unknown" in capsys.readouterr().err


def test_a_policy_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.run(tmp_path / "no.yaml", None) == 2
    assert "no.yaml" in capsys.readouterr().err


def test_a_port_in_use_is_said_and_nothing_is_left_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = written(tmp_path, server={"listen": f"127.0.0.1:{port}", "admin": "127.0.0.1:0"})
        assert serve.run(path, None) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = {"kind": "llama_cpp", "model_path": str(tmp_path / "no.gguf")}
    path = written(tmp_path, providers={"p": model}, deployments={"a": {"provider": "p"}})
    assert serve.run(path, None) == 2
    assert "no.gguf" in capsys.readouterr().err
