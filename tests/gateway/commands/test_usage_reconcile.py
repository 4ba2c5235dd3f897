from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from gateway.state.ledger.sql import append
from tests.databases import database, database_url
from tests.gateway.state.ledger_rows import a_row, asked, unpriced

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.database import Database

__all__ = ["database", "database_url"]


@pytest.fixture
async def ledger(database: Database) -> str:
    """Of openai 1,050 nano-USD on one model, of which 1,000 is billed, and 350 on another; and what is not priced."""
    rows = [a_row(f"req_{number}")._replace(upstream_nanousd=300 if number == 2 else None) for number in range(3)]
    others = [a_row("req_m")._replace(model="o3"), a_row("req_p")._replace(provider="azure")]
    await append(database, [*rows, *others, unpriced(a_row("req_u"))])
    return database.url


def reconciled(ledger: str, *words: str) -> int:
    return main(["usage", "--ledger", ledger, "reconcile", "--provider", "openai", "--month", "2026-11", *words])


def test_an_invoice_is_compared_and_kept(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert reconciled(ledger) == 0
    assert "no invoice was noted for this span" in capsys.readouterr().out
    assert reconciled(ledger, "--invoice", "0.0000027") == 0
    heads, *models, total = capsys.readouterr().out.splitlines()
    assert heads.split() == ["model", "ledger", "USD", "invoice", "USD", "ratio", "estimated", "unpriced", "tokens"]
    assert [line.split()[:4] for line in models] == [
        ["gpt-4o-2024", "0.000001000", "-", "-"],
        ["o3", "0.000000350", "-", "-"],
    ]
    assert total.split() == ["all", "of", "openai", "0.000001350", "0.000002700", "0.5000", "0.0%", "110"]
    assert reconciled(ledger, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["total"]["invoice_nanousd"], document["total"]["ratio"]) == (2700, 0.5)


def test_a_provider_that_the_ledger_does_not_know_is_asked_about(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be that all went past the gateway; a slip is likelier."""
    question = "is that its name in the policy?"
    assert reconciled(ledger, "--invoice", "5") == 0
    assert question not in capsys.readouterr().out
    assert reconciled(ledger, "--provider", "openia", "--invoice", "5") == 0
    assert capsys.readouterr().out.rstrip().endswith(question)


async def test_a_later_note_takes_its_place(database: Database, ledger: str) -> None:
    for amount in ("5", "4"):
        assert await asyncio.to_thread(reconciled, ledger, "--invoice", amount) == 0
    statement = "SELECT provider, since_ms, until_ms, nanousd FROM invoices"
    assert await asked(database, statement) == [("openai", 1_793_491_200_000, 1_796_083_200_000, 4 * 10**9)]


def test_lines_are_compared_by_model(ledger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "invoice.csv"
    path.write_text("model,cost\ngpt-4o-2024,0.000001\nsora,0.000005\n")
    assert reconciled(ledger, "--lines", str(path), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    told = {one["model"]: (one["ledger_nanousd"], one["invoice_nanousd"], one["ratio"]) for one in document["models"]}
    assert list(told.items()) == [
        ("sora", (0, 5000, 0.0)),
        ("gpt-4o-2024", (1000, 1000, 1.0)),
        ("o3", (350, None, None)),
    ]
    assert document["total"]["invoice_nanousd"] == 6000


async def test_what_has_no_price_is_not_nothing(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    await append(database, [unpriced(a_row())])
    assert await asyncio.to_thread(reconciled, database.url) == 0
    _, model, total, _ = capsys.readouterr().out.splitlines()
    assert (model.split()[1], total.split()[3]) == ("unpriced", "unpriced")


def test_a_provider_that_the_ledger_does_not_know_has_nothing_in_it(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--provider", "elsewhere", "--month", "2026-11", "--invoice", "1"]
    assert main(["usage", "reconcile", "--ledger", ledger, *words]) == 0
    assert capsys.readouterr().out.splitlines()[-2].split()[3:6] == ["0.000000000", "1.000000000", "0.0000"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--month", "2026-11", "--invoice", "lots"], "an amount in USD"),
        (["--invoice", "1"], "say for which span"),
        (["--since", "2026-11-02", "--invoice", "1"], "say for which span"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "ends before it begins"),
        (["--month", "2026-11", "--lines", "/nowhere/at/all.csv"], "No such file"),
    ],
)
def test_what_cannot_be_compared_is_told(
    ledger: str, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["usage", "reconcile", "--ledger", ledger, "--provider", "openai", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_ledger_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reconciled(f"sqlite:///{tmp_path}/none.db", "--invoice", "1") == 2
    assert "there is no ledger" in capsys.readouterr().err
