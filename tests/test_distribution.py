from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.distribution import FOLDERS, place_of

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = "from tests.conftest import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler\n"
TEST = "import time\nimport pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_it(n): time.sleep(0.05)\n"


@pytest.mark.parametrize(
    ("nodeid", "place"),
    [
        ("tests/test_app.py::test_a[x::y]", "tests/test_app.py"),
        ("tests/test_app.py::TestA::test_b", "tests/test_app.py"),
        ("tests/observed/test_rules.py::test_a", "tests/observed/"),
        ("tests/end_to_end/engine/test_chat.py::test_a", "tests/end_to_end/engine/"),
        ("tests/end_to_end/test_engine.py::test_a", "tests/end_to_end/test_engine.py"),
    ],
)
def test_a_file_or_a_folder_stays_together(nodeid: str, place: str) -> None:
    assert place_of(nodeid) == place


def test_the_folders_are_there() -> None:
    assert all((ROOT / folder / "conftest.py").is_file() for folder in FOLDERS)


def test_both_workers_run_and_each_place_is_run_by_one(tmp_path: Path) -> None:
    """Once the groups of xdist itself did nothing, and nobody was told."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for file in ("observed/test_a.py", "observed/test_b.py", "test_c.py", "test_d.py"):
        path = tmp_path / "tests" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEST)
    words = ["-n", "2", "--dist", "loadfile", "-v", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", *words, f"--rootdir={tmp_path}", str(tmp_path / "tests")]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    ran = re.findall(r"^\[(gw\d)\].* PASSED (\S+)::test_it", done.stdout, re.MULTILINE)
    assert len(ran) == 24, done.stdout + done.stderr
    by_place: dict[str, set[str]] = {}
    for worker, file in ran:
        by_place.setdefault(place_of(file), set()).add(worker)
    assert by_place.keys() == {"tests/observed/", "tests/test_c.py", "tests/test_d.py"}
    assert all(len(workers) == 1 for workers in by_place.values())
    assert len(set().union(*by_place.values())) == 2
