from __future__ import annotations

import pytest

from gateway.__main__ import parser


@pytest.mark.parametrize(("text", "seconds"), [("2", 2.0), ("2s", 2.0), ("500ms", 0.5), ("3600", 3600.0)])
def test_a_time_between_looks_reads_as_people_write_it(text: str, seconds: float) -> None:
    assert parser().parse_args(["top", "--every", text]).every == seconds


@pytest.mark.parametrize("text", ["0", "-1s", "soon", "2h", "nan", "1e9", ""])
def test_other_times_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["top", f"--every={text}"])
    assert ended.value.code == 2
    assert "--every" in capsys.readouterr().err


def test_it_looks_on_where_nothing_else_is_said() -> None:
    words = parser().parse_args(["top"])
    assert (words.once, words.every, words.url, words.config) == (False, 2.0, None, None)
