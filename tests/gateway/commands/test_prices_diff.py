from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from gateway.commands.prices_diff import Question, document, run, text
from gateway.prices.comparing import Change, RateChange
from gateway.prices.lines import Line, Source, Table, render

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
providers: {openai: {kind: openai, api_key: none}}
deployments: {a: {provider: openai, model: m-2024-08-06}}
routes: [{model: r, targets: [a]}]
"""


def table(path: Path, **models: tuple[str, str]) -> str:
    lines: dict[str, tuple[Line, ...]] = {
        name: (Line(source="s", input=Decimal(one), output=Decimal(two)),) for name, (one, two) in models.items()
    }
    path.write_bytes(render(Table("2026-01-01", {"s": Source("p", "1", "MIT", "d")}, {"openai": lines}, {})))
    return str(path)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    old = table(tmp_path / "old.json", m=("4", "20"), same=("1", "1"), gone=("1", "1"))
    return old, table(tmp_path / "new.json", m=("5", "20"), same=("1", "1"), new=("1", "0.5"))


def test_two_tables_are_compared_rate_by_rate(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Question(*tables, None, is_configured_only=False), as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["openai/m", "dearer", "input", "4", "5", "+25.0%"] in [line.split() for line in lines]
    assert ["openai/new", "new", "output", "-", "0.5", "-"] in [line.split() for line in lines]
    assert lines[-1] == "1 dearer, 1 gone, 1 new (USD per million tokens; request and search for one)"


def test_only_models_of_the_policy(tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    assert run(Question(*tables, policy, is_configured_only=True), as_json=True) == 0
    rates = [{"rate": "input", "before_usd": "4", "after_usd": "5", "percent": "+25.0%"}]
    assert json.loads(capsys.readouterr().out) == [
        {"provider": "openai", "model": "m", "change": "dearer", "rates": rates}
    ]


def test_two_days_of_the_table_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Question("2026-11-30", "2026-12-02", None, is_configured_only=False), as_json=True) == 0
    found = {(one["provider"], one["model"]): one for one in json.loads(capsys.readouterr().out)}
    argon = found["google", "gemini-4-argon"]
    assert argon["change"] in ("dearer", "changed")
    assert argon["rates"][0] == {"rate": "input", "before_usd": "2", "after_usd": "4", "percent": "+100.0%"}


def test_a_day_of_the_operators_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(tmp_path / "own.json", m=("7", "7"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY + "prices: {file: own.json}\n")
    other = table(tmp_path / "other.json", m=("7", "8"))
    assert run(Question("2026-11-22", other, policy, is_configured_only=True), as_json=False) == 0
    assert "openai/m  dearer  output  7" in capsys.readouterr().out


def test_nothing_changed(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Question(tables[0], tables[0], None, is_configured_only=False), as_json=False) == 0
    assert capsys.readouterr().out == "nothing changed\n"


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), ("{}", "is not a price table"), ("", "is not a price table")]
)
def test_what_is_no_table_is_named(
    content: str | None, why: str, tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert run(Question(tables[0], str(path), None, is_configured_only=False), as_json=False) == 2
    out, err = capsys.readouterr()
    assert (out, "x.json" in err, why in err) == ("", True, True)


@pytest.mark.parametrize("day", ["2026-02-30", "2026-13-01"])
def test_a_day_that_is_none_is_said(day: str, tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Question(day, tables[0], None, is_configured_only=False), as_json=False) == 2
    assert "a day that is none" in capsys.readouterr().err


def test_nothing_in_a_name_reaches_the_terminal() -> None:
    change = Change("p", "a\x1b[2J", "new", (RateChange("input", None, Decimal(1)),))
    assert "\x1b" not in text([change])
    assert document([change])[0]["rates"][0]["percent"] is None
