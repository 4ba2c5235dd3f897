from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.check_locks import find_problems, read_lock

if TYPE_CHECKING:
    from pathlib import Path

HASH = f"    --hash=sha256:{'0' * 64}"


def lock(folder: Path, *lines: str) -> Path:
    path = folder / "some.lock"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_lock_files_of_this_checkout_agree() -> None:
    assert find_problems() == []


def test_pins_are_read_with_their_markers(tmp_path: Path) -> None:
    old = "numpy==2.4.6 ; python_full_version < '3.12' and sys_platform == 'linux' \\"
    new = "numpy==2.5.4 ; python_full_version >= '3.12' and sys_platform == 'linux' \\"
    pins, problems = read_lock(lock(tmp_path, "# made by make lock", old, HASH, new, f"{HASH} \\", HASH))
    assert (pins, problems) == ({"numpy": {"2.4.6", "2.5.4"}}, [])


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["--index-url https://index.example", "a==1 \\", HASH], "neither a pin nor a hash"),
        (["a @ https://files.example/a.whl \\", HASH], "neither a pin nor a hash"),
        (["a>=1 \\", HASH], "neither a pin nor a hash"),
        (["a==1 \\", "b==1 \\", HASH], "the package before has no hash"),
        (["litellm==1.82.7 \\", HASH], "litellm 1.82.7 is banned"),
    ],
)
def test_anything_but_a_hashed_pin_is_refused(tmp_path: Path, lines: list[str], problem: str) -> None:
    _, problems = read_lock(lock(tmp_path, *lines))
    assert any(problem in found for found in problems)
