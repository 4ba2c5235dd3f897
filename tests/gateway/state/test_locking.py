from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.state.locking import locked

if TYPE_CHECKING:
    from pathlib import Path


def test_one_has_it_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = locked(path)
    assert first is not None
    assert locked(path) is None
    os.close(first)
    again = locked(path)
    assert again is not None
    os.close(again)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_to_elsewhere_is_no_lock(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "lock").symlink_to(elsewhere)
    with pytest.raises(OSError, match="lock"):
        locked(tmp_path / "lock")
    assert not elsewhere.exists()
