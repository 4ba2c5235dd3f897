from __future__ import annotations

import pytest

from gateway.__main__ import main, parser
from gateway.commands.usage_words import USAGE_GROUPS
from gateway.state.ledger.reports import GROUPS


def test_the_words_are_those_that_reports_know() -> None:
    assert set(USAGE_GROUPS) == GROUPS.keys()


def test_what_is_named_before_a_verb_holds_unless_it_is_named_again() -> None:
    words = ["usage", "--ledger", "a.db", "--month", "2026-10", "reconcile", "--provider", "openai"]
    asked = parser().parse_args(words)
    assert (asked.ledger, asked.month, asked.provider, asked.invoice) == ("a.db", "2026-10", "openai", None)
    assert parser().parse_args([*words, "--month", "2026-09"]).month == "2026-09"


@pytest.mark.parametrize(
    "words",
    [
        ["usage", "--by", "mood", "--ledger", "a.db"],
        ["usage", "--ledger", "a.db", "--format", "xml"],
        ["usage", "--ledger", "a.db", "--json", "--format", "csv"],
        ["usage", "reconcile", "--ledger", "a.db"],
        ["usage", "reconcile", "--provider", "x", "--invoice", "1", "--lines", "f.csv"],
        ["usage", "reconcile", "--provider", "x", "--month", "2026-10"],
    ],
)
def test_what_is_no_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "usage:" in capsys.readouterr().err
