from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PathDistribution
from typing import TYPE_CHECKING

import pytest

from scripts.check_environment import find_changed, find_pth

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with one installed package of one module."""
    (tmp_path / "small.py").write_text("X = 1\n")
    info = tmp_path / "small-1.dist-info"
    info.mkdir()
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"X = 1\n").digest()).rstrip(b"=").decode()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: small\nVersion: 1\n")
    (info / "RECORD").write_text(f"small.py,sha256={digest},6\nsmall-1.dist-info/RECORD,,\n")
    return tmp_path


def changed(folder: Path) -> list[str]:
    return find_changed(PathDistribution(folder / "small-1.dist-info"))


def test_an_untouched_package_passes(installed: Path) -> None:
    assert changed(installed) == []


def test_a_changed_file_is_named(installed: Path) -> None:
    (installed / "small.py").write_text("X = 2\n")
    assert changed(installed) == ["small: small.py differs from its RECORD"]


def test_a_missing_file_is_named(installed: Path) -> None:
    (installed / "small.py").unlink()
    assert changed(installed) == ["small: small.py cannot be read: No such file or directory"]


def test_a_pth_file_that_runs_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "litellm_init.pth").write_text("import os; os.getpid()\n")
    (tmp_path / "distutils-precedence.pth").write_text("import os\n")
    (tmp_path / "only_a_folder.pth").write_text("/somewhere\n")
    assert find_pth(tmp_path) == ["litellm_init.pth: an unknown .pth file that runs code"]
