from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.distribution import FOLDERS, place_of


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
