from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from gateway.call import Cached
from gateway.commands.usage import ledger_url, parse_moment, parse_span, report
from gateway.commands.usage_shown import usd
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.answers.store import Used
from gateway.state.ledger.ledger import Ledger
from policies.cache_rules import Level
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind, Principal
from tests.gateway.calls import FREE_OF_PRICE, RECEIVED_AT_NS, attempt, call

if TYPE_CHECKING:
    from pathlib import Path

DAY_NS = 24 * 3600 * 10**9
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two priced calls, one unpriced fallback after a refusal, and a day later an estimated call of another key."""
    refused = attempt(number=1, failure=Failure(FailureKind.STATUS, status=503))
    later = call(attempt(Usage(50, 50, estimated=True)), principal=Principal("k_9", "app\x1b[2J"))
    later.received_at_ns = RECEIVED_AT_NS + DAY_NS
    calls = [
        call(attempt(Usage(100, 10))),
        call(refused, attempt(Usage(7, 3), number=2, deployment=FREE_OF_PRICE)),
        later,
    ]
    file = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.start()
    ledger.append([row for one in calls for row in ledger_rows(settle(one))])
    ledger.close()
    return file


def shown(path: Path, by: str, since: str | None = None, until: str | None = None, form: str = "table") -> int:
    return report(f"sqlite:///{path}", by, parse_span(since, until, None, NOW), form)


def told(
    path: Path, capsys: pytest.CaptureFixture[str], by: str, since: str | None = None, until: str | None = None
) -> dict[str, object]:
    assert shown(path, by, since, until, "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["by"] == [by]
    return {group["name"]: group for group in document["groups"]} | {"total": document["total"]}


def test_the_total_is_the_ledgers_sum(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = told(path, capsys, "key")["total"]
    assert total == {
        "name": "total",
        "names": ["total"],
        "requests": 3,
        "attempts": 4,
        "input_tokens": 157,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 63,
        "reasoning_tokens": 0,
        "estimated_tokens": 100,
        "cost_nanousd": 350_000 + 625_000,
        "input_nanousd": 375_000,
        "cached_input_nanousd": 0,
        "cache_write_nanousd": 0,
        "output_nanousd": 600_000,
        "request_nanousd": 0,
        "tool_nanousd": 0,
        "unsplit_nanousd": 0,
        "upstream_nanousd": 975_000,
        "unpriced_attempts": 1,
        "unpriced_tokens": 10,
        "cache_hits": 0,
        "saved_nanousd": 0,
        "saved_tokens": 0,
        "gpu_us": 0,
        "cost_usd": "0.000975000",
        "estimated_share": round(100 / 220, 6),
        "saved_usd": "0.000000000",
    }


@pytest.mark.parametrize(
    ("by", "costs"),
    [
        ("key", {"app\x1b[2J": 625_000, "ci": 350_000}),
        ("team", {None: 625_000, "platform": 350_000}),
        ("route", {"smart": 975_000}),
        ("deployment", {"gpt-4o": 975_000, "llama-eu": None}),
        ("day", {"2026-11-22": 350_000, "2026-11-23": 625_000}),
    ],
)
def test_spend_is_grouped_and_what_has_no_price_has_no_cost(
    path: Path, capsys: pytest.CaptureFixture[str], by: str, costs: dict[str | None, int | None]
) -> None:
    assert shown(path, by, form="json") == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [(group["name"], group["cost_nanousd"]) for group in groups] == list(costs.items())


def test_people_get_a_table_with_totals_and_flags(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(path, "deployment") == 0
    heads, rule, dear, unpriced, _, total = capsys.readouterr().out.splitlines()
    assert heads.split()[:3] == ["deployment", "requests", "attempts"]
    assert set(rule) == {"-"}
    assert heads.split("  ")[-3:] == ["input USD", " output USD", "unpriced tokens"]
    parts = ["0.000375000", "0.000600000"]
    assert dear.split() == ["gpt-4o", "3", "3", "150", "0", "60", "47.6%", "0.000975000", *parts, "-"]
    assert unpriced.split() == ["llama-eu", "0", "1", "7", "0", "3", "0.0%", "unpriced", "-", "-", "10"]
    assert total.split() == ["total", "3", "4", "157", "0", "63", "45.5%", "0.000975000", *parts, "10"]


def test_hits_and_what_they_saved_stand_beside_what_was_spent(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hit = call()
    hit.cached = Cached(level=Level.NEAR, deployment="gpt-4o", model="m", saved=Used(100, 10, cost_nanousd=350_000))
    ledger = Ledger(f"sqlite:///{path}")
    ledger.start()
    ledger.append(ledger_rows(settle(hit)) * 2)
    ledger.close()
    assert shown(path, "key") == 0
    heads, _, *lines, _, total = capsys.readouterr().out.splitlines()
    assert heads.endswith("hits    saved USD")
    assert {line.split()[0]: line.split()[-2:] for line in lines}["ci"] == ["1", "0.000350000"]
    assert [line.split()[-2:] for line in lines if not line.startswith("ci")] == [["0", "-"]]
    assert total.split()[:3] + total.split()[-2:] == ["total", "4", "4", "1", "0.000350000"]
    document = told(path, capsys, "day")["2026-11-22"]
    assert isinstance(document, dict)
    assert (document["cache_hits"], document["saved_nanousd"], document["saved_usd"]) == (1, 350_000, "0.000350000")
    assert (document["requests"], document["cost_nanousd"], document["saved_tokens"]) == (3, 350_000, 110)


def test_a_name_cannot_act_on_the_terminal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown(path, "key")
    assert "\x1b" not in capsys.readouterr().out


def test_since_leaves_out_what_came_before(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(told(path, capsys, "day", "2026-11-23")) == ["2026-11-23", "total"]
    nothing = told(path, capsys, "day", "2030-01-01")["total"]
    assert isinstance(nothing, dict)
    assert (nothing["requests"], nothing["input_tokens"], nothing["cost_nanousd"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("36h", datetime(2026, 11, 21, 0, tzinfo=UTC)),
        ("2w", datetime(2026, 11, 8, 12, tzinfo=UTC)),
    ],
)
def test_since_is_a_day_a_time_or_a_span(since: str, moment: datetime) -> None:
    assert parse_moment("--since", since, NOW) == moment.timestamp() * 1000


@pytest.mark.parametrize("since", ["yesterday", "7 days", "999999w", "2026-13-01", "1'; DROP TABLE attempts"])
def test_another_since_is_refused(path: Path, capsys: pytest.CaptureFixture[str], since: str) -> None:
    assert main(["usage", "--ledger", str(path), "--since", since]) == 2
    assert "--since wants" in capsys.readouterr().err


def test_there_is_no_other_grouping(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(path, "1; DROP TABLE attempts") == 2
    assert "cannot group by" in capsys.readouterr().err


def test_a_missing_ledger_is_an_error_and_none_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(tmp_path / "none.db", "key", form="json") == 2
    assert "there is no ledger at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_is_the_one_that_the_policy_names(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"""
version: 1
ledger: {{url: "sqlite:///{path.name}"}}
providers: {{openai: {{kind: openai, api_key: none}}}}
deployments: {{gpt-4o: {{provider: openai, model: gpt-4o}}}}
routes: [{{model: smart, targets: [gpt-4o]}}]
"""
    )
    assert main(["usage", "--config", str(policy)]) == 0
    assert "0.000975000" in capsys.readouterr().out
    policy.write_text("version: 1\nrouts: []\n")
    assert main(["usage", "--config", str(policy)]) == 2
    assert "routs" in capsys.readouterr().err


def test_a_ledger_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger_url(None, "l.db") == "sqlite:///l.db"
    assert ledger_url(None, "postgresql://db/x") == "postgresql://db/x"
    with pytest.raises(SystemExit, match="2"):
        main(["usage"])
    assert "--config or by --ledger" in capsys.readouterr().err


def test_until_leaves_out_what_came_after(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(told(path, capsys, "day", None, "2026-11-23")) == ["2026-11-22", "total"]
    assert main(["usage", "--ledger", str(path), "--until", "soon", "--json"]) == 2
    assert "--until wants" in capsys.readouterr().err


def test_money_is_shown_to_the_last_digit() -> None:
    assert usd(12_345_678_901_234_567) == "12345678.901234567"


def test_two_groupings_have_two_columns_and_add_up(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--ledger", str(path), "--by", "team", "--by", "source", "--format", "csv"]) == 0
    lines = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    costs = {(line["line"], line["team"], line["source"]): line["cost_usd"] for line in lines}
    assert costs == {
        ("group", "", "estimated"): "0.000625000",
        ("group", "platform", "table"): "0.000350000",
        ("group", "platform", ""): "",
        ("total", "", ""): "0.000975000",
    }
    assert {line["unpriced_tokens"] for line in lines if not line["cost_usd"]} == {"10"}
    assert main(["usage", "--ledger", str(path), "--by", "team", "--by", "model"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["team", "model", "requests"]
    assert main(["usage", "--ledger", str(path), "--by", "team", "--by", "team"]) == 2
    assert "each once" in capsys.readouterr().err


def test_a_month_is_a_span_of_its_own(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_span(None, None, "2026-10", NOW) == (1_790_812_800_000, 1_793_491_200_000)
    assert parse_span(None, None, "2026-12", NOW).until_ms == datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert parse_moment("--since", "2026-10", NOW) == 1_790_812_800_000
    assert main(["usage", "--ledger", str(path), "--month", "2026-11", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["attempts"] == 4
    for wrong in ("2026-13", "2026", "0000-01", "2026-1"):
        assert main(["usage", "--ledger", str(path), "--month", wrong]) == 2
        assert "--month: a month like 2026-10 is meant" in capsys.readouterr().err
    assert main(["usage", "--ledger", str(path), "--month", "2026-10", "--since", "7d"]) == 2
    assert "leave --since and --until out" in capsys.readouterr().err
