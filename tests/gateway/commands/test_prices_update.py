from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.commands.prices_update import run, write
from gateway.prices.table import PriceTable, PriceTables, day_s

if TYPE_CHECKING:
    from pathlib import Path

TODAY = "2026-11-23"
ENTRY = {"litellm_provider": "openai", "mode": "chat", "output_cost_per_token": 1e-5}


def source(folder: Path, **models: float) -> Path:
    path = folder / "source.json"
    path.write_text(json.dumps({name: {**ENTRY, "input_cost_per_token": rate} for name, rate in models.items()}))
    return path


def rates(path: Path, name: str = "gpt-4o") -> list[tuple[str | None, Any]]:
    found = PriceTable.load(path).model_of("openai", name)
    assert found is not None
    return [(line.begins, line.input) for line in found.lines]


def test_the_new_table_keeps_the_old_lines_and_is_dated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert run(source(tmp_path, **{"gpt-4o": 3e-6, "brand-new": 1e-6}), out, is_dry=False, today=TODAY) == 0
    told, err = capsys.readouterr()
    assert "openai/gpt-4o" in told
    assert "+20.0%" in told
    assert "source.json: JSON of litellm" in err
    assert "name it in the policy, as prices: {file: ...}" in err
    assert [(begins, float(rate)) for begins, rate in rates(out)] == [(None, 2.5), (TODAY, 3.0)]
    tables = PriceTables.load(out, day_s(TODAY))
    assert tables.date == TODAY
    price = tables.price_of("openai", None, "gpt-4o")
    assert price is not None
    assert (price.input_nanousd, price.version) == (3 * 10**9, f"litellm {TODAY}")
    assert tables.price_of("litellm", None, "anthropic/claude-opus-4-6") is not None


def test_a_table_that_is_there_is_what_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    for day, rate in (("2026-11-23", 3e-6), ("2026-11-24", 4e-6), ("2026-11-24", 5e-6)):
        assert run(source(tmp_path, **{"gpt-4o": rate}), out, is_dry=False, today=day) == 0
    assert [(begins, float(rate)) for begins, rate in rates(out)] == [
        (None, 2.5),
        ("2026-11-23", 3.0),
        ("2026-11-24", 5.0),
    ]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert run(source(tmp_path, **{"gpt-4o": 3e-6}), out, is_dry=True, today=TODAY) == 0
    assert not out.exists()
    assert "nothing was written" in capsys.readouterr().err


def test_the_table_goes_where_one_is_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(source(tmp_path, m=1e-6), None, is_dry=False, today=TODAY) == 0
    assert (tmp_path / f"prices-{TODAY}.json").is_file()


def test_a_change_by_more_than_ten_times_is_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source(tmp_path, **{"gpt-4o": 26e-6}), tmp_path / "out.json", is_dry=True, today=TODAY) == 0
    assert "warning: openai/gpt-4o: input from 2.5 to 26 USD, more than 10 times another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "is not JSON"),
        ("{}", "neither a Pointsman price table"),
        (json.dumps({"m": {**ENTRY, "input_cost_per_token": -1}}), "m: input_cost_per_token is negative"),
        (json.dumps({"m": {**ENTRY, "input_cost_per_token": 5}}), "m: input_cost_per_token is absurd"),
        (json.dumps({"\x1b[2J": {**ENTRY, "input_cost_per_token": 1e-6}}), "is not a name"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    content: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "source.json", tmp_path / "out.json"
    if content is not None:
        path.write_text(content)
    assert run(path, out, is_dry=False, today=TODAY) == 2
    told, err = capsys.readouterr()
    assert told == ""
    assert why in err
    assert "\x1b" not in err
    assert not out.exists()


def test_a_broken_table_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text("mine")
    assert run(source(tmp_path, m=1e-6), out, is_dry=False, today=TODAY) == 2
    assert out.read_text() == "mine"


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write(path, b"one")
    with pytest.raises(TypeError):
        write(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]
    assert path.stat().st_mode & 0o777 == 0o644
