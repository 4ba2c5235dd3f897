from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.embedding import preparing
from gateway.embedding.preparing import PreparationError, cache_folder, find_kept, model_bytes, prepare, source_file

MODEL = b"what onnxruntime reads"


def keep(folder: Path, data: bytes, *, digest: str | None = None) -> Path:
    path = folder / f"{preparing._key()}-{digest or hashlib.sha256(data).hexdigest()}.onnx"
    path.write_bytes(data)
    return path


def test_a_kept_model_is_used_without_anything_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, MODEL)
    monkeypatch.setattr(preparing, "_COMMAND", ("/no/such/interpreter",))
    assert model_bytes(tmp_path) == MODEL


@pytest.mark.parametrize("damaged", [MODEL[:-1], MODEL + b"\0", b"", b"another model!!!!!!!!!!"])
def test_a_file_that_is_not_what_its_name_says_is_removed(tmp_path: Path, damaged: bytes) -> None:
    path = keep(tmp_path, damaged, digest=hashlib.sha256(MODEL).hexdigest())
    assert find_kept(tmp_path) is None
    assert not path.exists()


def test_what_another_version_or_recipe_made_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(tmp_path, MODEL)
    monkeypatch.setattr(preparing, "version", lambda _: "99.0")
    assert find_kept(tmp_path) is None
    monkeypatch.undo()
    monkeypatch.setattr(preparing, "RECIPE", "another")
    assert find_kept(tmp_path) is None
    assert path.exists()


def test_the_cache_folder_is_where_the_operator_or_the_desktop_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("POINTSMAN_CACHE", raising=False)
    assert cache_folder() == Path("/home/a/.cache/pointsman/embedders")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/pointsman/embedders")
    monkeypatch.setenv("POINTSMAN_CACHE", "/var/lib/pointsman")
    assert cache_folder() == Path("/var/lib/pointsman/embedders")


def test_the_model_is_made_once_whole_and_alike_by_processes_that_start_together(tmp_path: Path) -> None:
    command = [*preparing._COMMAND, str(tmp_path)]
    started = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    (path,) = tmp_path.glob("*.onnx")
    assert path.stem.endswith(hashlib.sha256(path.read_bytes()).hexdigest())
    assert 20 << 20 < path.stat().st_size < 26 << 20
    assert [other.name for other in tmp_path.iterdir() if other != path] == [".lock"]
    kept = find_kept(cache_folder())
    assert kept is None or kept == path.read_bytes()


def test_one_that_dies_half_way_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    process = subprocess.Popen([*preparing._COMMAND, str(tmp_path)], stderr=subprocess.DEVNULL)
    until_s = time.monotonic() + 20
    while not [*tmp_path.glob(".making-*/folded.onnx")] and time.monotonic() < until_s:
        os.sched_yield()
    process.kill()
    process.wait()
    assert [*tmp_path.glob(".making-*")] != []
    assert find_kept(tmp_path) is None
    assert prepare(tmp_path).is_file()
    assert [*tmp_path.glob(".making-*")] == []


def test_where_nothing_can_be_kept_the_model_is_made_for_this_once(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("no folder")
    script = tmp_path / "make.py"
    script.write_text(
        "import hashlib, pathlib, sys\n"
        f"name = {preparing._key()!r} + '-' + hashlib.sha256({MODEL!r}).hexdigest() + '.onnx'\n"
        f"pathlib.Path(sys.argv[1], name).write_bytes({MODEL!r})\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "_COMMAND", (sys.executable, str(script)))
        assert model_bytes(folder / "below") == MODEL


@pytest.mark.parametrize(
    ("code", "said"),
    [("raise SystemExit('onnx is not installed')", "onnx is not installed"), ("import sys; sys.exit(3)", "status 3")],
)
def test_what_went_wrong_is_said(tmp_path: Path, code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(PreparationError, match=said):
        model_bytes(tmp_path)


def test_an_interpreter_that_cannot_be_started_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_COMMAND", ("/no/such/interpreter",))
    with pytest.raises(PreparationError, match="could not be prepared"):
        model_bytes(tmp_path)


def test_a_source_that_is_not_the_known_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"evil")
    monkeypatch.setattr(preparing, "source_file", lambda: other)
    with pytest.raises(PreparationError, match="not the model that Pointsman knows"):
        prepare(tmp_path)


def test_the_source_is_found_without_importing_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashlib.sha256(source_file().read_bytes()).hexdigest() == preparing.SOURCE_SHA256
    assert preparing.PACKAGE not in sys.modules
    monkeypatch.setattr(preparing, "PACKAGE", "no_such_package")
    with pytest.raises(PreparationError, match="no_such_package is not installed"):
        source_file()
