from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from gateway.commands.admin_client import AdminClient
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.ledger.ledger import Ledger
from policies.usage import Usage
from tests.gateway.calls import PRICE, answered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening
    from tests.gateway.commands.conftest import Command

KNOWN = f"req_{1:028x}"


def test_the_last_call_and_the_last_failed_one_are_those_that_the_gateway_says(
    gateway: Listening, command: Command
) -> None:
    good, bad = answered(Usage(100, 10)), answered(Usage(200, 20))
    for made, outcome in ((bad, "timeout"), (good, "ok")):
        gateway.gateway.reporting.decisions.add(made, ledger_rows(settle(made)), outcome)
    code, out, _ = command("trace", "--last", "--json")
    assert (code, json.loads(out)["request_id"]) == (0, good.id)
    code, out, _ = command("trace", "--last", "--errors")
    assert code == 0
    assert bad.id in out
    assert "COST OF THE CALL  0.0007 USD" in out


def test_nothing_to_tell_of_is_exit_code_two(command: Command) -> None:
    for words in ((KNOWN,), ("--last",), ("--last", "--errors")):
        code, out, err = command("trace", *words)
        assert (code, out) == (2, "")
        assert err.startswith("pointsman trace: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a request"),
        ((KNOWN, "--last"), "name a request"),
        ((KNOWN, "--errors"), "--errors goes with --last"),
        ((KNOWN, "--ledger", "x.db"), "leave --config and --url out"),
        (("\x1b[2Jreq",), "is no id of a request"),
    ],
)
def test_a_question_that_is_none_is_refused(command: Command, words: tuple[str, ...], said: str) -> None:
    code, out, err = command("trace", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.strip().isprintable()


def test_a_gateway_that_is_not_there_is_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", KNOWN, "--url", "http://127.0.0.1:9"]) == 1
    assert "cannot be asked" in capsys.readouterr().err


def test_whoever_has_waited_enough_leaves_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AdminClient, "ask", interrupted)
    assert main(["trace", KNOWN, "--url", "http://127.0.0.1:9"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_ledger_alone_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), answered(Usage(100, 10))
    ledger.start()
    ledger.note_price(PRICE)
    ledger.append(ledger_rows(settle(made)))
    ledger.close()
    where = ("--ledger", str(tmp_path / "ledger.db"))
    assert main(["trace", made.id, *where]) == 0
    assert "100 tokens x 2.5 USD/M tokens" in capsys.readouterr().out
    assert main(["trace", "--last", *where]) == 0
    assert main(["trace", "--last", "--errors", *where]) == 2
    assert "any call that failed" in capsys.readouterr().err
    assert main(["trace", KNOWN, *where]) == 2
    assert main(["trace", KNOWN, "--ledger", str(tmp_path / "none.db")]) == 2
