"""What lies in the tree is what the code writes, and the same each time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dashboards import write
from dashboards.alerting.groups import GROUPS
from dashboards.boards import BOARDS

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_in_the_tree_is_up_to_date() -> None:
    """Whoever changes code of a board runs `make dashboards`, so that a review sees what changes for readers."""
    assert write.stale(write.files()) == []


def test_the_same_code_writes_the_same_text() -> None:
    assert write.files() == write.files()


def test_there_are_seven_boards_with_the_rules_and_alerts_of_one_list() -> None:
    names = {path.relative_to(write.HERE).as_posix() for path in write.files()}
    boards = {
        f"json/pointsman-{name}.json" for name in ("overview", "cost", "models", "cache", "limits", "local", "traces")
    }
    assert {name for name in names if name.startswith("json/")} == boards
    assert len(names) == len(BOARDS) + len(GROUPS) + 1


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(write, "HERE", tmp_path / "dashboards")
    return tmp_path / "dashboards"


def test_a_change_by_hand_is_found_and_undone(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write.main([]) == 0
    assert write.main(["--check"]) == 0
    board, gone, left = tree / "json" / "pointsman-cost.json", tree / "rules" / "bill.yml", tree / "json" / "old.json"
    board.write_text(board.read_text().replace("Cost", "Coast"))
    gone.unlink()
    left.write_text("{}")
    assert write.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert all(path.name in said for path in (board, gone, left))
    assert write.main([]) == 0
    assert (write.main(["--check"]), left.exists(), gone.exists()) == (0, False, True)


def test_files_are_json_and_end_with_a_line(tree: Path) -> None:
    write.main([])
    for path in (tree / "json").iterdir():
        text = path.read_text()
        assert text.endswith("}\n")
        assert json.loads(text)["uid"] == path.stem
