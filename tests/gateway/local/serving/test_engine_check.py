from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from gateway.errors import MissingExtra, StartError
from gateway.local.serving.engine_check import MissingModel, check_engine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_a_missing_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[llama\]' in"):
        check_engine(tmp_path / "m.gguf")


@pytest.mark.usefixtures("installed")
def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"no model file at .*m\.gguf"):
        check_engine(tmp_path / "m.gguf")


@pytest.mark.usefixtures("installed")
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"<html>not found</html>")
    with pytest.raises(MissingModel, match="is not a GGUF file"):
        check_engine(tmp_path / "m.gguf")


@pytest.mark.usefixtures("installed")
def test_a_gguf_file_passes(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF....")
    check_engine(tmp_path / "m.gguf")
    assert issubclass(MissingModel, StartError)
