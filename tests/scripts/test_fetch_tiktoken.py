from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from gateway.data_files import data_dir
from gateway.prompts.tokens import RANK_FILES
from scripts.fetch_tiktoken import copy_rank_files, wheel_tokenizers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="the litellm extra is not installed")
def test_the_shipped_files_are_the_wheels(tmp_path: Path) -> None:
    written = copy_rank_files(wheel_tokenizers(), tmp_path / "new")
    assert [path.name for path in written] == [rank_file.file_name for rank_file in RANK_FILES.values()]
    for path in written:
        assert path.read_bytes() == (data_dir() / "tiktoken" / path.name).read_bytes()


def test_a_wrong_file_is_not_copied(tmp_path: Path) -> None:
    for rank_file in RANK_FILES.values():
        (tmp_path / rank_file.file_name).write_bytes(b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        copy_rank_files(tmp_path, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
