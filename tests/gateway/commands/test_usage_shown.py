from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from gateway.commands.usage_shown import Report, as_csv, as_document, as_table, seconds, usd
from gateway.state.ledger.hardware_report import Idle
from gateway.state.ledger.reports import Spend

USD = 10**9
SPEND = Spend(
    "platform", ("platform", "llama"), 3, 4, 100, 20, 5, 50, 7, 15, 1_000_000_350, 600, 100, 50, 999_999_500, 90, 10, 0,
    900, 0, 0, 1, 250, 60, 2_500_000,
)  # fmt: skip
UNPRICED = replace(
    SPEND, name=None, names=(None, "=cmd"), cost_nanousd=None, input_nanousd=None, output_nanousd=None,
    request_nanousd=None, tool_nanousd=None, cached_input_nanousd=None, cache_write_nanousd=None, unsplit_nanousd=None,
    upstream_nanousd=None, unpriced_attempts=4, unpriced_tokens=150, cache_hits=0, saved_nanousd=0, saved_tokens=0,
)  # fmt: skip
IDLE = Idle("_idle", ("_idle", "llama"), 1_000_000, 3_000_000, USD, 3 * USD, 1_000_000_350, 2_999_999_650)
REPORT = Report(("team", "model"), [SPEND, UNPRICED], replace(SPEND, names=("total",)), [IDLE], IDLE)


def test_a_table_has_a_column_for_each_component_and_idle_hardware_below_the_total() -> None:
    heads, _, first, unpriced, _, total, idle, told = as_table(REPORT).splitlines()
    columns = (
        "written",
        "reasoning",
        "input USD",
        "cached USD",
        "written USD",
        "output USD",
        "request USD",
        "tool USD",
    )
    assert all(column in heads for column in columns)
    assert "older USD" not in heads
    assert first.split()[:2] == ["platform", "llama"]
    assert first.split()[-3:] == ["1", "0.000000250", "2.500000"]
    assert unpriced.split().count("unpriced") == 1
    assert unpriced.split()[-4:] == ["150", "0", "-", "2.500000"]
    assert total.split()[0] == "total"
    assert idle.split()[:3] == ["_idle", "llama", "-"]
    assert [cell for cell in idle.split()[2:] if cell != "-"] == ["3.000000000", "3.000000"]
    assert told == (
        "hardware: 4.000000000 USD in full, 1.000000000 of it busy; 1.000000350 charged, variance 2.999999650"
    )


def test_hardware_whose_cost_nobody_stated_is_not_free() -> None:
    unknown = replace(IDLE, busy_nanousd=None, idle_nanousd=None, variance_nanousd=None)
    *_, idle, told = as_table(REPORT._replace(idle=[unknown], hardware=unknown)).splitlines()
    assert "unpriced" in idle.split()
    assert told == "hardware: nobody said what it costs (gpu in the policy file)"
    *_, line = csv.DictReader(as_csv(REPORT._replace(idle=[unknown])).splitlines())
    assert (line["cost_usd"], line["gpu_s"]) == ("", "3.000000")


def test_csv_says_which_line_is_which_and_leaves_empty_what_is_unknown() -> None:
    lines = list(csv.DictReader(as_csv(REPORT).splitlines()))
    assert [line["line"] for line in lines] == ["group", "group", "total", "idle"]
    assert [line["cost_usd"] for line in lines] == ["1.000000350", "", "1.000000350", "3.000000000"]
    assert [line["output_usd"] for line in lines] == ["0.999999500", "", "0.999999500", ""]
    assert [line["gpu_s"] for line in lines] == ["2.500000", "2.500000", "2.500000", "3.000000"]
    assert lines[1]["model"] == "'=cmd"
    assert lines[0]["requests"] == "3"


def test_json_has_the_idle_lines_apart() -> None:
    document = json.loads(as_document(REPORT))
    assert document["by"] == ["team", "model"]
    assert document["idle"] == [document["hardware"]]
    assert document["hardware"]["variance_nanousd"] == 2_999_999_650
    assert document["groups"][1]["cost_usd"] is None


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "0.000000000"), (-1, "-0.000000001"), (-1_500_000_000, "-1.500000000"), (7, "0.000000007")],
)
def test_amounts_are_exact(nanousd: int, text: str) -> None:
    assert usd(nanousd) == text
    assert seconds(1_000_001) == "1.000001"
