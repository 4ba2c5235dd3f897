from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from gateway.records.call_metrics import CallMetrics
from gateway.records.settlement import settle
from gateway.signals import telemetry, vitals_telemetry
from gateway.signals.catalogue import FAMILIES
from gateway.signals.exposition import LINES_AT_ONCE, OPENMETRICS, PROMETHEUS, Renderer, Scrapes, render, series_count
from gateway.signals.metrics import Registry
from gateway.signals.telemetry import Family, Kind
from gateway.signals.vitals import sample_process
from policies.usage import Usage
from tests.gateway.calls import ROUTE, answered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

OWN = {vitals_telemetry.METRIC_SERIES.name, vitals_telemetry.METRIC_SERIES_LIMIT.name} | {
    vitals_telemetry.SERIES_REJECTED.name
}
NASTY = 'a"b\\c\nd'


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    metrics = CallMetrics(made)
    metrics.declare([ROUTE])
    for _ in range(3):
        metrics.add(settle(answered(Usage(120, 340, 20), stream=True)), "0af7651916cd43dd8448eb211c80319c")
    made.cells(Family("nasty_total", Kind.COUNTER, "Awkward labels.", ("label",))).at(NASTY).inc(7)
    made.sample(telemetry.DEPLOYMENT_UP, lambda: [(("a",), True), (("b",), False)])
    sample_process(made, "0.1.0")
    return made


def _samples(text: str, *, openmetrics: bool = False) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    parse: Callable[[str], Iterable[Metric]] = parse_openmetrics if openmetrics else parse_prometheus
    return {(s.name, frozenset(s.labels.items())): s.value for family in parse(text) for s in family.samples}


@pytest.mark.parametrize("content_type", [PROMETHEUS, OPENMETRICS])
def test_the_official_parser_reads_the_text_and_finds_the_same_numbers(registry: Registry, content_type: str) -> None:
    text = render(registry.snapshot(), content_type).decode()
    found = _samples(text, openmetrics=content_type == OPENMETRICS)
    requests = {"route": "smart", "model": "smart", "outcome": "ok"}
    assert found["pointsman_requests_total", frozenset(requests.items())] == 3
    duration = frozenset({"route": "smart", "stream": "true"}.items())
    assert found["pointsman_request_duration_seconds_count", duration] == 3
    assert found["pointsman_request_duration_seconds_sum", duration] == pytest.approx(3 * 0.503)
    assert found["pointsman_request_duration_seconds_bucket", duration | {("le", "0.5")}] == 0
    assert found["pointsman_request_duration_seconds_bucket", duration | {("le", "+Inf")}] == 3
    assert found["nasty_total", frozenset({("label", NASTY)})] == 7
    assert found["pointsman_deployment_up", frozenset({("deployment", "a")})] == 1
    assert found["process_resident_memory_bytes", frozenset({("worker", "0")})] > 1_000_000


def test_money_is_written_out_to_the_last_digit() -> None:
    registry = Registry()
    cost = registry.cells(telemetry.TEAM_COST)
    cost.at("a", "m").inc(12_345_678_901_234_567_891)
    cost.at("b", "m").inc(7)
    text = render(registry.snapshot()).decode()
    assert 'pointsman_team_cost_usd_total{team="a",model="m"} 12345678901.234567891\n' in text
    assert 'pointsman_team_cost_usd_total{team="b",model="m"} 0.000000007\n' in text


def test_openmetrics_carries_the_trace_id_of_a_kept_call(registry: Registry) -> None:
    parse: Callable[[str], Iterable[Metric]] = parse_openmetrics
    families = parse(render(registry.snapshot(), OPENMETRICS).decode())
    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert {exemplar.labels["trace_id"] for exemplar in exemplars} == {"0af7651916cd43dd8448eb211c80319c"}


def test_a_family_is_declared_once_however_many_children_it_has(registry: Registry) -> None:
    lines = render(registry.snapshot()).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert sum(not line.startswith("#") for line in lines) == series_count(registry.snapshot())


@pytest.fixture
def everything() -> Registry:
    """Every metric there is, two label sets of each, with words that are hard to write down."""
    made = Registry()
    for family in FAMILIES.values():
        for word in ("a", NASTY) if family.labels else ("",):
            labels = (word,) * len(family.kept_labels)
            if family.kind is Kind.HISTOGRAM:
                made.histograms(family).at(*labels).observe(0.01, "0af7651916cd43dd8448eb211c80319c")
                made.histograms(family).at(*labels).observe(1e9)
            elif family.name not in OWN:
                made.cells(family).at(*labels).inc(12_345_678_901)
    return made


@pytest.mark.parametrize("content_type", [PROMETHEUS, OPENMETRICS])
def test_the_whole_catalogue_is_read_by_the_official_parsers(everything: Registry, content_type: str) -> None:
    taken = everything.snapshot()
    parse: Callable[[str], Iterable[Metric]] = parse_openmetrics if content_type == OPENMETRICS else parse_prometheus
    families = list(parse(render(taken, content_type).decode()))
    assert len(families) == len(taken) == len(FAMILIES)
    assert sum(len(family.samples) for family in families) == series_count(taken)
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
    if content_type == OPENMETRICS:
        exemplars = [sample for family in families for sample in family.samples if sample.exemplar]
        assert len(exemplars) == 2 * sum(family.kind is Kind.HISTOGRAM for family in FAMILIES.values())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: scripts/test_servers.sh")
def test_prometheus_s_own_tool_finds_nothing_to_complain_of(everything: Registry) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=render(everything.snapshot()),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (checked.stdout + checked.stderr).decode().splitlines() == []


async def test_the_scraper_gets_the_form_it_asks_for(registry: Registry) -> None:
    scrapes = Scrapes(registry)
    assert (await scrapes.scrape("text/plain"))[0] == PROMETHEUS
    content_type, body = await scrapes.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type == OPENMETRICS
    assert body.endswith(b"# EOF\n")


async def test_the_loop_copies_and_a_thread_writes(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    here, seen = threading.get_ident(), {}
    for owner, name in ((Registry, "copied"), (Registry, "sampled_apart"), (Renderer, "text")):
        original = getattr(owner, name)

        def noted(*args: Any, _original: Any = original, _name: str = name) -> Any:
            seen[_name] = threading.get_ident() == here
            return _original(*args)

        monkeypatch.setattr(owner, name, noted)
    await Scrapes(registry).scrape("")
    assert seen == {"copied": True, "sampled_apart": False, "text": False}


@pytest.mark.parametrize("kind", [Kind.COUNTER, Kind.HISTOGRAM])
def test_who_writes_much_rests_often_and_more_so_the_first_time(kind: Kind) -> None:
    """The thread holds the interpreter while it writes, and the event loop waits for it."""
    registry, rests = Registry(), [0]

    def rest() -> None:
        rests[0] += 1

    if kind is Kind.HISTOGRAM:
        for number in range(300):
            registry.histograms(telemetry.OVERHEAD).at(f"{number}").observe(1)
    else:
        for number in range(4_500):
            registry.cells(telemetry.TEAM_TOKENS).at(f"{number}", "input")
    renderer, taken = Renderer(rest), registry.snapshot()
    written = renderer.text(taken)
    first, rests[0] = rests[0], 0
    assert renderer.text(taken) == written == render(taken)
    lines = written.count(b"\n")
    assert rests[0] >= lines // (LINES_AT_ONCE + 20) - 1 >= 1
    assert first > 3 * rests[0]


def test_what_stands_before_a_number_is_forgotten_with_its_series() -> None:
    renderer, gone = Renderer(), [0]
    registry = Registry()
    registry.sample(telemetry.DEPLOYMENT_UP, lambda: [((f"{gone[0]}-{n}",), 1) for n in range(300)])
    for gone[0] in range(20):
        renderer.text(registry.snapshot())
        assert len(renderer._known) < 2_000


async def test_scrapes_at_the_same_time_are_rendered_once(registry: Registry) -> None:
    asked = 0

    def count() -> list[tuple[tuple[str, ...], float]]:
        nonlocal asked
        asked += 1
        return [((), 1)]

    registry.sample(Family("asked", Kind.GAUGE, "Times asked."), count)
    scrapes = Scrapes(registry)
    answers = await asyncio.gather(*(scrapes.scrape("") for _ in range(5)))
    assert asked == 1
    assert len(set(answers)) == 1
    await scrapes.scrape("")
    assert asked == 2
