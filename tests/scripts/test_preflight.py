"""preflight.sh on machines that lack something, each made of stand-in programs on its PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "preflight.sh"


def run(path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash") or "bash", SCRIPT, *arguments],
        env={"PATH": str(path), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine that has everything, as far as anyone asks."""
    (tmp_path / "python3").symlink_to(sys.executable)
    for name in ("make", "cc", "c++"):
        program(tmp_path, name, "while read -r _; do :; done")  # a compiler reads what it is given
    return tmp_path


def test_a_whole_machine_passes_in_silence(machine: Path) -> None:
    done = run(machine, "compiler")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_everything_missing_is_named_in_one_apt_line(tmp_path: Path) -> None:
    done = run(tmp_path, "compiler")
    assert done.returncode == 1
    sudo = "" if os.geteuid() == 0 else "sudo "
    line = f"  {sudo}apt-get install --yes make python3 python3-venv gcc libc6-dev g++"
    assert line in done.stderr.splitlines()


def test_a_compiler_that_cannot_link_counts_as_missing(machine: Path) -> None:
    program(machine, "c++", "exit 1")
    done = run(machine, "compiler")
    assert done.returncode == 1
    assert "a C++ compiler that links (c++)" in done.stderr
    assert "C compiler that links (cc)" not in done.stderr


def test_no_compiler_is_asked_for_where_none_is_needed(machine: Path) -> None:
    (machine / "c++").unlink()
    assert run(machine).returncode == 0


def test_an_old_python_is_named_with_its_version(machine: Path) -> None:
    program(machine, "python3.9", 'case "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac')
    done = run(machine, PYTHON="python3.9")
    assert done.returncode == 1
    assert "3.9.2" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_without_venv_is_named(machine: Path) -> None:
    (machine / "python3").unlink()
    program(machine, "python3", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = run(machine)
    assert done.returncode == 1
    assert "apt-get install --yes python3-venv" in done.stderr
