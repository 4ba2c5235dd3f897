"""A gateway for the commands that ask one, and a terminal's two outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from tests.gateway.admin.listening import TOKEN, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gateway.admin.listening import Listening

    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    limits = [{"per": "key", "requests": "60/min"}]
    with in_thread(tmp_path_factory.mktemp("gateway"), limits=limits) as gateway:
        yield gateway


@pytest.fixture
def command(gateway: Listening, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command against the gateway; exit code, standard output and standard error of it."""
    monkeypatch.setenv("POINTSMAN_ADMIN_TOKEN", TOKEN)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--url", gateway.admin_url])
        out, err = capsys.readouterr()
        return code, out, err

    return run
