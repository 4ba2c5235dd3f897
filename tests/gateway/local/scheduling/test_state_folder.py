from __future__ import annotations

import os
import threading
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.local.scheduling.state_folder import StateFolder, adapter_of
from gateway.local.scheduling.states import Kept

if TYPE_CHECKING:
    from pathlib import Path

MADE_BY: dict[str | None, str] = {None: "a" * 64, "poet": "b" * 64}


def kept(seed: int, scope: str = "\0org", state_bytes: int = 500) -> Kept:
    state = np.random.default_rng(seed).integers(0, 255, state_bytes).astype(np.uint8)
    return Kept(scope, array("i", range(seed, seed + 100)), 120, state)


def folder(path: Path, made_by: dict[str | None, str] | None = None, max_bytes: int = 1 << 20) -> StateFolder:
    return StateFolder(path / "kept", made_by or MADE_BY, max_bytes)


def write(to: StateFolder, *copies: Kept) -> None:
    for number, one in enumerate(copies):
        to.write(one)
        to.work_off()
        os.utime(to._path(one), (number, number))


def read(from_: StateFolder) -> list[Kept]:
    found: list[Kept] = []
    from_.read_all(found.append)
    return found


def files(path: Path) -> list[Path]:
    return sorted((path / "kept").iterdir())


def test_what_is_written_is_read_again_by_the_next_process(tmp_path: Path) -> None:
    copies = [kept(1), kept(2, "poet\0org")]
    write(folder(tmp_path), *copies)
    found = read(folder(tmp_path))
    assert [(one.scope, one.tokens, one.cells) for one in found] == [(one.scope, one.tokens, 120) for one in copies]
    assert all(np.array_equal(one.state, other.state) for one, other in zip(found, copies, strict=True))


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    write(folder(tmp_path), kept(1))
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "org" not in path.name


def test_what_others_could_have_written_is_not_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder(tmp_path), kept(1))
    (path,) = files(tmp_path)
    path.chmod(0o644)
    assert read(folder(tmp_path)) == []
    assert "only this user" in capfd.readouterr().err
    path.chmod(0o600)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert read(folder(tmp_path)) == []


@pytest.mark.parametrize("change", ["first", "head", "tokens", "state", "digest", "shorter", "longer", "empty", "huge"])
def test_a_damaged_file_is_ignored_with_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str], change: str) -> None:
    write(folder(tmp_path), kept(1))
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    place = {"first": 0, "head": 20, "tokens": 150, "state": 700, "digest": len(data) - 1}.get(change)
    if place is not None:
        data[place] ^= 1
    elif change == "huge":
        data[8:12] = b"\xff\xff\xff\xff"
    else:
        data = {"shorter": data[:-7], "longer": data + b"x", "empty": bytearray()}[change]
    path.write_bytes(bytes(data))
    assert read(folder(tmp_path)) == []
    assert f"{path.name} is ignored" in capfd.readouterr().err


def test_another_models_and_another_adapters_copies_are_of_no_use(tmp_path: Path) -> None:
    write(folder(tmp_path), kept(1), kept(2, "poet\0org"))
    assert len(read(folder(tmp_path, MADE_BY | {"poet": "c" * 64}))) == 1
    assert len(read(folder(tmp_path, {None: "a" * 64}))) == 1
    assert read(folder(tmp_path, {None: "a" * 63 + "b"})) == []
    assert read(folder(tmp_path, {None: "d" * 64})) == []
    assert len(files(tmp_path)) == 2


def test_the_folder_is_bounded_and_those_used_last_stay(tmp_path: Path) -> None:
    small = folder(tmp_path, max_bytes=3500)
    copies = [kept(seed) for seed in range(3)]
    write(small, *copies)
    assert len(files(tmp_path)) == 3
    small.use(copies[0])
    small.work_off()
    write(small, kept(9))
    assert sorted(one.tokens[0] for one in read(small)) == [0, 2, 9]
    assert len(read(folder(tmp_path, max_bytes=1500))) == 1


def test_what_is_let_go_of_leaves_the_disk(tmp_path: Path) -> None:
    here = folder(tmp_path)
    write(here, kept(1))
    for _ in range(2):
        here.drop(kept(1))
        here.use(kept(1))
    here.work_off()
    assert files(tmp_path) == []


def test_copies_that_come_faster_than_the_disk_are_left_out(tmp_path: Path) -> None:
    here = folder(tmp_path)
    for seed in range(9):
        here.write(kept(seed))
    here.work_off()
    assert len(files(tmp_path)) == 2
    write(here, kept(9))
    assert len(files(tmp_path)) == 3


def test_what_a_dead_process_left_behind_is_removed(tmp_path: Path) -> None:
    here = folder(tmp_path)
    (tmp_path / "kept" / f"{'a' * 16}-x.999999999.part").touch()
    (tmp_path / "kept" / f"{'a' * 16}-x.{os.getpid()}.part").touch()
    (tmp_path / "kept" / "notes.txt").touch()
    assert read(here) == []
    assert {path.name for path in files(tmp_path)} == {f"{'a' * 16}-x.{os.getpid()}.part", "notes.txt"}


def test_a_disk_that_takes_nothing_is_told_of_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    here = folder(tmp_path)
    (tmp_path / "kept").rmdir()
    (tmp_path / "kept").touch()
    for seed in range(3):
        here.write(kept(seed))
        here.work_off()
    assert capfd.readouterr().err == "prompts cannot be kept on the disk: Not a directory\n"


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(OSError, match="exists"):
        folder(tmp_path)


def test_its_thread_reads_first_and_writes_then(tmp_path: Path) -> None:
    write(folder(tmp_path), kept(1))
    here, written = folder(tmp_path), threading.Event()
    found: list[Kept] = []
    here.write(kept(2))
    here._orders.put(written.set)
    here.start(found.append)
    assert written.wait(10)
    assert len(found) == 1
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(("scope", "adapter"), [("\0org", None), ("poet\0org", "poet"), ("", None)])
def test_a_scope_tells_its_adapter(scope: str, adapter: str | None) -> None:
    assert adapter_of(scope) == adapter
