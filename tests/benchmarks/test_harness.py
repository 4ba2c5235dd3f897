"""The harness measures what it says: a tiny round over the bare proxy, and the tables made of known samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.bodies import request_body
from benchmarks.measure import Round, Scale, upstreams
from benchmarks.parts import PARTS, number
from benchmarks.report import Results, render
from benchmarks.targets import Ports, all_targets
from gateway.config import load
from gateway.config.compile import limits_of

if TYPE_CHECKING:
    from pathlib import Path

BARE = next(target for target in all_targets() if target.name == "aiohttp_min")
OURS = next(target for target in all_targets() if target.name == "pointsman")


@pytest.mark.parametrize("size_bytes", [600, 1024, 32768])
def test_a_request_has_about_the_size_asked_for(size_bytes: int) -> None:
    assert len(request_body("mock", size_bytes)) == pytest.approx(size_bytes, abs=2)


def test_a_round_over_the_bare_proxy(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    scale = Scale(requests_s=1, streams_s=0.7, pair_s=0.2)  # wrk counts whole seconds
    (tmp_path / "bare").mkdir()
    with upstreams(tmp_path) as direct:
        row = Round(scale, direct).measure(BARE, tmp_path / "bare")
    assert row["bad"] == 0
    assert row["start_s"] > 0
    assert 5 < row["idle_mb"] < 200
    assert 0 < row["cpu_ms_c64"] < 50
    assert 0 < row["cpu_us_chunk_c64"] < 10_000
    assert row["ttft_p50_us_c8"] > 0
    assert "added_p50_us" in row


def test_ratios_are_paired_within_a_round() -> None:
    rounds = [
        {"direct": {}, "aiohttp_min": {"cpu_ms_c64": 0.1}, "pointsman": {"cpu_ms_c64": 0.05}},
        {"direct": {}, "aiohttp_min": {"cpu_ms_c64": 0.4}, "pointsman": {"cpu_ms_c64": 0.2}},
    ]
    text = render(Results(rounds, {}, [BARE, OURS]), "python -m benchmarks")
    assert "| pointsman | 0.125 (0.050) | - | - | - | - | - | - | 0.50 |" in text
    assert "| CPU per request, c=64, x aiohttp_min | <= 0.7 | 0.50 | yes |" in text


def test_a_missed_aim_is_said() -> None:
    rounds = [{"direct": {}, "aiohttp_min": {"cpu_ms_c64": 0.1}, "pointsman": {"cpu_ms_c64": 0.09, "idle_mb": 50}}]
    text = render(Results(rounds, {}, [BARE, OURS]), "python -m benchmarks")
    assert "| idle MB | <= 45 | 50.00 | **no** |" in text


def test_a_part_s_number_is_found_by_its_row() -> None:
    text = "| part | best | median |\n| --- | ---: | ---: |\n| settle | 1.5 | 2.25 |"
    assert number(text, "settle", 2) == 2.25
    assert number(text, "reserve", 2) is None


def test_parts_stand_below_the_proxies_and_among_the_aims() -> None:
    tables = {part.title: "not measured: no such module" for part in PARTS}
    tables[PARTS[0].title] = "| store: reserve and settle, 3 accounts | 9.0 | 16.0 |"
    text = render(Results([{"direct": {}, "pointsman": {"idle_mb": 50}}], {}, [OURS], tables), "python -m benchmarks")
    assert "| us to reserve and settle, 3 dimensions, in process | <= 15 | 16.00 | **no** |" in text
    assert "on Redis" not in text.partition("## Parts")[0]
    assert "not measured: no such module" in text


@pytest.mark.parametrize("name", ["pointsman", "pointsman_limits"])
def test_our_policies_are_good(name: str, tmp_path: Path) -> None:
    target = next(target for target in all_targets() if target.name == name)
    target.prepare(tmp_path, Ports(1, 2, 3, 4, 5))
    config = load(tmp_path / "policy.yaml", {})
    assert len(limits_of(config)) == (3 if name == "pointsman_limits" else 0)
