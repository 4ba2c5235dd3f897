from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.prices_show import Question, run

POLICY = """\
providers:
  openai: {kind: openai, api_key: none, discount: 10%, margin: 50%}
  own: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}
deployments:
  listed: {provider: openai, model: gpt-4o}
  stated:
    provider: own
    model: m
    price: {input: 1, search: 0.5, above: [{tokens: 200000, input: 2}], services: {flex: {input: 3, above: []}},
            from: 2026-12-01, then: {input: 4}}
  unknown: {provider: own, model: gpt-4o}
  mistyped: {provider: openai, model: gpt-4oo}
routes: [{model: r, targets: [listed, stated, unknown, mistyped]}]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def shown(capsys: pytest.CaptureFixture[str], question: Question) -> str:
    assert run(question, as_json=False) == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], question: Question) -> Any:
    assert run(question, as_json=True) == 0
    return json.loads(capsys.readouterr().out)


def row(text: str, word: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"{word} "))
    return line.split()[1:]


def test_a_model_is_shown_with_its_tiers_services_and_history(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, Question("openai/gpt-5.6-sol", None, None, "2026-11-22"))
    head = next(line for line in text.splitlines() if line.startswith("USD per million tokens"))
    assert "standard  above 272,000  batch  batch above 272,000" in head
    assert row(text, "input") == ["4", "8", "2", "4", "2", "4", "8", "16"]
    assert "version   genai-prices 0." in text
    assert "request and search: USD for one" in text
    assert "  2026-08-21: input 4, cached_input 0.4" in text
    assert "charged besides, and not in the table: storage_searches_kcount" in text


def test_a_bare_name_is_shown_of_every_provider_that_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, Question("claude-opus-4-6", None, None, None))
    assert {"anthropic", "google"} <= {one["provider"] for one in found}


@pytest.mark.parametrize(("at", "usd", "later"), [("2026-02-01", 5, "2026-08-21"), ("2026-11-22", 4, None)])
def test_a_day_says_what_was_in_force(at: str, usd: int, later: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = told(capsys, Question("openai/gpt-5.6-sol", None, None, at))
    assert found["price"]["input_nanousd"] == usd * 10**9
    assert found["price"].get("later", {}).get("from") == later
    assert [line.get("from") for line in found["history"]] == [None, "2026-08-21"]


def test_a_deployment_is_shown_as_it_is_charged(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, Question(None, "listed", policy, None))
    assert "adjusted  -10%+50% of what is published" in text
    assert row(text, "input")[0] == "3.375"
    document = told(capsys, Question(None, "listed", policy, None))
    assert document["adjusted"] == {"discount_ppm": 100_000, "margin_ppm": 500_000}
    assert document["upstream"]["input_nanousd"] == 2_250_000_000


def test_a_stated_price_is_shown_with_what_is_to_come(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, Question(None, "stated", policy, "2026-11-22"))
    assert "source    override" in text
    assert text.splitlines()[3].split("  ")[-3:] == ["standard", "above 200,000", "flex"]
    now, then = text.split("from 2026-12-01 on\n")
    assert (row(now, "input"), row(then, "input")) == (["1", "2", "3"], ["4"])
    assert row(shown(capsys, Question(None, "stated", policy, "2026-12-01")), "input") == ["4"]


def test_all_deployments_are_shown_side_by_side(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, Question(None, None, policy, None))
    assert row(text, "unknown")[:4] == ["-", "-", "-", "unpriced"]
    assert row(text, "listed")[:4] == ["3.375", "1.6875", "13.5", "table"]
    assert told(capsys, Question(None, None, policy, None))["unknown"] is None


def test_without_a_question_the_tables_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "genai-prices" in shown(capsys, Question(None, None, None, None))
    (table,) = told(capsys, Question(None, None, None, None))
    assert table["models"] > 4000


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"model": "gpt-4oo"}, "no table has a model 'gpt-4oo' (did you mean 'gpt-4o'?)"),
        ({"model": "a\x1b[31m"}, "no table has a model 'a\\\\x1b[31m'"),
        ({"deployment": "listd"}, "there is no deployment 'listd' (did you mean 'listed'?)"),
        ({"deployment": "unknown"}, "unknown has no price: its provider is none that publishes prices"),
        (
            {"deployment": "mistyped"},
            "no table lists 'gpt-4oo' of openai (did you mean 'gpt-4o'?); with prices.unknown: auto",
        ),
        ({"deployment": "listed", "at": "soon"}, "--at must be a date or time"),
    ],
)
def test_why_there_is_nothing_to_show(
    asked: dict[str, str], why: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = Question(
        asked.get("model"), asked.get("deployment"), None if "model" in asked else policy, asked.get("at")
    )
    assert run(question, as_json=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert why in err


def test_no_word_of_a_table_reaches_a_terminal_raw(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    esc = "\x1b[31m"
    source = {"package": esc, "version": esc, "licence": esc, "as_of": esc}
    line = {"source": "s", "input": 1, "services": {esc: {"input": 2}}}
    table = {"format": 2, "date": esc, "unit": "u", "sources": {"s": source}}
    own = policy.parent / "own.json"
    own.write_text(json.dumps(table | {"providers": {"openai": {"models": {"gpt-4o": line}}}}))
    policy.write_text(f"prices: {{file: own.json}}\n{POLICY}")
    for question in (Question("openai/gpt-4o", None, policy, None), Question(None, None, policy, None)):
        assert "\x1b" not in shown(capsys, question)


def test_a_broken_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.json").write_text("{}")
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + "prices: {file: own.json}\n")
    assert run(Question(None, None, path, None), as_json=False) == 2
    assert "own.json is not a price table" in capsys.readouterr().err
    assert run(Question(None, None, Path("nowhere.yaml"), None), as_json=False) == 2
