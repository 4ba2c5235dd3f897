from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.user_socket import bound, inode_of, is_answered, is_own, take_away


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Relative, as a socket's name must be short."""
    monkeypatch.chdir(tmp_path)
    return Path("admin.sock")


def test_it_is_this_user_s_alone_and_the_process_goes_on_as_before(path: Path) -> None:
    before = os.umask(0o022)
    try:
        with bound(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert is_own(path)
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_one_that_was_left_behind_is_answered_by_nobody_and_makes_room(path: Path) -> None:
    with bound(path) as first:
        first.listen()
        assert is_answered(path)
    assert not is_answered(path)
    with bound(path) as second:
        second.listen()
        assert is_answered(path)


def test_only_the_one_that_was_made_is_taken_away(path: Path) -> None:
    with bound(path):
        take_away(path, inode_of(path) + 1)
        assert path.exists()
        take_away(path, inode_of(path))
        assert not path.exists()
        take_away(path, 1)


def test_what_is_no_socket_is_left_where_it_is(path: Path) -> None:
    path.write_text("a file of somebody's")
    assert not is_own(path)
    with pytest.raises(OSError, match="in use"):
        bound(path)
    assert path.read_text() == "a file of somebody's"


def test_a_link_to_a_socket_is_none_of_ours(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("other.sock")
        path.symlink_to("other.sock")
        assert not is_own(path)


def test_somebody_else_s_is_not_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound(path):
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not is_own(path)
    assert not is_own(Path("missing.sock"))
