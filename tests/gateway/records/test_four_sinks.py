"""The same nano-USD in ledger, metric, span and log line, and in what the caller is told, whatever became of a call."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.explaining.recent import RecentDecisions
from gateway.records.call_metrics import CallMetrics
from gateway.records.recorder import Recorder, Sinks
from gateway.records.request_log import RequestLog
from gateway.records.settlement import cost_so_far
from gateway.signals import telemetry
from gateway.signals.cache_telemetry import CACHE_CALLS, Purpose
from gateway.signals.conventions import Attr
from gateway.signals.exposition import render
from gateway.signals.logs import LogSink
from gateway.signals.metrics import Registry
from gateway.state.ledger.ledger import Ledger
from policies.attempts import AttemptKind
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier
from policies.usage import Correction, Usage, UsageDetails
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.gateway.calls import DEAR, FREE_OF_PRICE, attempt, cached_hit, call, errand
from tests.gateway.kept_spans import traces_to
from tests.gateway.records.test_recorder import FakeCounts

if TYPE_CHECKING:
    from gateway.call import Attempt, Call
    from gateway.signals.span_values import Span

NANO = 1_000_000_000
PLAIN = Price("plain", "override", "", 2_333_333_333, 777_777_777, 3_141_592_653, 9_999_999_999)
LONG = Tier(1_000, Rates(4_666_666_666, 1_555_555_554, 6_283_185_306, 19_999_999_998))
FULL = replace(
    PLAIN,
    id="full",
    rare=RareRates._make([*[1_234_567_891] * 7, 12_345, 10_000_007]),
    tiers=(LONG,),
    services=(("flex", Tariff(Rates._make([*[1_111_111_111] * 4, RareRates._make([99_999_999] * 9)]))),),
)
MARGIN = replace(
    PLAIN, id="plain+7%", input_nanousd=2_496_666_666, adjusted=Adjustment(0, 70_000), upstream=PLAIN, source="table"
)
PRICED = [Deployment(one.id, "maker", "openai", f"model-{one.id}", price=one) for one in (PLAIN, FULL, MARGIN)]
DEPLOYMENTS = (DEAR, FREE_OF_PRICE, *PRICED)

tokens = st.integers(0, 5_000) | st.integers(0, 10**8)
details = st.builds(
    UsageDetails, tokens, tokens, tokens, tokens, tokens, tokens, st.integers(0, 9),
    st.sampled_from(("", "flex", "scale")), st.none() | st.integers(0, 10**12),
    st.sampled_from(((), tuple(Correction))),
)  # fmt: skip
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens, st.just(value=False), st.none() | st.none() | details)


@st.composite
def attempts(draw: st.DrawFn, number: int) -> Attempt:
    usage = draw(st.none() | usages)
    made = attempt(
        usage,
        number=number,
        deployment=draw(st.sampled_from(DEPLOYMENTS)),
        sent=draw(st.booleans()) or usage is not None,
        text=draw(st.sampled_from(((), ("one two three",)))),
        finish=draw(st.sampled_from(((), ("stop",)))),
    )
    end = draw(st.sampled_from(("ok", "ok", "failed", "refused", "cancelled", "hedge_lost")))
    if end == "failed":
        made.failure = Failure(FailureKind.TRUNCATED, maybe_billed=True)
    elif end == "refused":
        made.failure = Failure(FailureKind.STATUS, status=429)
    elif end != "ok":
        made.cancelled = True
        made.stopped = end if end == "hedge_lost" else None
        made.kind = AttemptKind.HEDGE if number > 1 and made.stopped else AttemptKind.FIRST
    return made


@st.composite
def calls(draw: st.DrawFn) -> Call:
    if draw(st.integers(0, 5)) == 0:
        return cached_hit(stream=draw(st.booleans()))
    tried = [draw(attempts(number)) for number in range(1, draw(st.integers(1, 3)) + 1)]
    failed = tried[-1].failure is not None
    if draw(st.integers(0, 4)) == 0:
        return errand(*tried, purpose=draw(st.sampled_from(Purpose)), status=502 if failed else 200)
    return call(
        *tried,
        status=502 if failed else 200,
        error_code="upstream_error" if failed else None,
        cancelled=tried[-1].cancelled,
        stream=draw(st.booleans()),
    )


class Books:
    """What the four sinks hold after some calls: rows of SQLite, series of the exposition, spans and lines."""

    def __init__(self, folder: Path, *, traced: bool) -> None:
        self.path = folder / "ledger.db"
        self.registry = Registry()
        self.spans: list[Span] = []
        self.stream = io.BytesIO()
        self._traced = traced

    async def settle(self, finished: list[Call]) -> None:
        ledger = Ledger(f"sqlite:///{self.path}")
        await asyncio.to_thread(ledger.start)
        sinks = Sinks(
            CallMetrics(self.registry),
            ledger,
            RequestLog(as_json=True),
            LogSink(self.stream),
            RecentDecisions(),
            traces_to(self.spans) if self._traced else None,
            ledger.note_price,
        )
        recorder = Recorder(FakeCounts(), sinks)
        recorder.start()
        for one in finished:
            recorder.record(one)
        await recorder.close()
        await asyncio.to_thread(ledger.close)
        assert recorder.failures == 0

    def asked(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        return {line["request_id"]: line for line in map(json.loads, self.stream.getvalue().splitlines())}

    def series(self, family: str) -> dict[str, int]:
        """The samples of one family in nano-USD, by their labels, as a scrape reads them."""
        found = {}
        for line in render(self.registry.snapshot()).decode().splitlines():
            if line.startswith(f"{family}{{"):
                labels, _, value = line.removeprefix(family).rpartition(" ")
                found[labels] = nanousd(value)
        return found


def nanousd(usd: object) -> int:
    exact = Decimal(repr(usd) if isinstance(usd, float) else str(usd)) * NANO
    assert exact == round(exact), usd
    return int(exact)


COLUMNS = "input_nanousd, cached_input_nanousd, cache_write_nanousd, output_nanousd, request_nanousd, tool_nanousd"
COMPONENTS = ("input", "cached_input", "cache_write", "output", "request", "tool")


@settings(max_examples=40, deadline=None)
@given(st.lists(calls(), min_size=1, max_size=8), st.booleans())
def test_ledger_metric_span_log_and_header_agree_to_the_nano_usd(finished: list[Call], traced: bool) -> None:  # noqa: FBT001 - drawn
    told_to_callers = {one.id: cost_so_far(one) for one in finished}
    with TemporaryDirectory() as folder:
        books = Books(Path(folder), traced=traced)
        asyncio.run(books.settle(finished))
        assert_lines_are_the_rows(books)
        assert_series_are_the_rows(books)
        if traced:
            assert_spans_are_the_rows(books)
        sums = dict(books.asked("SELECT request_id, sum(cost_nanousd) FROM attempts GROUP BY request_id"))
        unknown = {name for (name,) in books.asked("SELECT request_id FROM attempts WHERE unpriced_reason IS NOT NULL")}
        for request_id, told in told_to_callers.items():
            assert told is None or (told == sums[request_id] and request_id not in unknown)
        named = books.asked("SELECT DISTINCT price_id FROM attempts WHERE price_id IS NOT NULL")
        assert set(named) <= set(books.asked("SELECT id FROM prices"))


def assert_lines_are_the_rows(books: Books) -> None:
    sums = ", ".join(f"sum({name})" for name in COLUMNS.split(", "))
    rows = books.asked(
        f"SELECT request_id, count(cost_nanousd), sum(cost_nanousd), {sums}, "  # noqa: S608 - our words
        "sum(attempt > 0 AND cost_nanousd IS NOT NULL), max(saved_nanousd) FROM attempts GROUP BY request_id"
    )
    for request_id, priced, total, *rest in rows:
        *components, tried, saved = rest
        assert total is None or total == sum(components)
        cost = books.lines[request_id].get("cost") or {}
        assert cost.get("saved_nano_usd") == saved
        if tried and priced:
            assert cost["total_nano_usd"] == total
            assert [cost["components"][name] for name in COMPONENTS] == components
        else:
            assert not cost.get("total_nano_usd")


def assert_series_are_the_rows(books: Books) -> None:
    series = books.series("pointsman_cost_usd_total")
    expected: dict[str, int] = {}
    for provider, deployment, model, source, *components in books.asked(
        f"SELECT provider, deployment, model, price_source, {COLUMNS} FROM attempts "  # noqa: S608 - our words
        "WHERE cost_nanousd IS NOT NULL AND attempt > 0"
    ):
        for component, amount in zip(COMPONENTS, components, strict=True):
            labels = (
                f'{{provider="{provider}",deployment="{deployment}",model="{model}",'
                f'component="{component}",source="{source}"}}'
            )
            expected[labels] = expected.get(labels, 0) + amount
    assert {labels: value for labels, value in series.items() if value} == {k: v for k, v in expected.items() if v}
    assert_what_caches_spent_is_in_it(books)
    whole = sum(expected.values())
    assert sum(books.series("pointsman_team_cost_usd_total").values()) == whole
    cells = books.registry.cells(telemetry.COST).children.values()
    assert sum(cell.value for cell in cells) == whole


def assert_what_caches_spent_is_in_it(books: Books) -> None:
    rows = books.asked(
        "SELECT key_id, count(DISTINCT request_id), sum(cost_nanousd) FROM attempts "
        "WHERE key_id LIKE 'cache:%' GROUP BY key_id"
    )
    purposes = {key_id.removeprefix("cache:"): (count, cost) for key_id, count, cost in rows}
    costs = books.series("pointsman_cache_cost_usd_total")
    assert costs == {
        f'{{route="faq",purpose="{purpose}"}}': cost for purpose, (_, cost) in purposes.items() if cost is not None
    }
    calls_made = books.registry.cells(CACHE_CALLS).children.values() if purposes else ()
    assert sum(cell.value for cell in calls_made) == sum(count for count, _ in purposes.values())
    requests = sum(cell.value for cell in books.registry.cells(telemetry.REQUESTS).children.values())
    ((asked,),) = books.asked("SELECT count(DISTINCT request_id) FROM attempts WHERE key_id NOT LIKE 'cache:%'")
    assert requests == asked


def assert_spans_are_the_rows(books: Books) -> None:
    """Doubles of USD hold every nano-USD up to nine million of them."""
    told = [
        (
            span.attributes[Attr.COST_SOURCE],
            nanousd(span.attributes[Attr.COST_TOTAL]),
            *(
                nanousd(span.attributes.get(name, 0))
                for name in (
                    Attr.COST_INPUT,
                    Attr.COST_CACHED_INPUT,
                    Attr.COST_CACHE_WRITE,
                    Attr.COST_OUTPUT,
                    Attr.COST_REQUEST,
                    Attr.COST_TOOL,
                )
            ),
        )
        for span in books.spans
        if Attr.COST_SOURCE in span.attributes
    ]
    rows = books.asked(
        f"SELECT price_source, cost_nanousd, {COLUMNS} FROM attempts WHERE cost_nanousd IS NOT NULL AND attempt > 0"  # noqa: S608 - our words
    )
    assert sorted(told) == sorted(rows)


def test_a_plain_example_reads_the_same_everywhere(tmp_path: Path) -> None:
    """By hand: 1,000,000 tokens at 2.333333333, 2 at 9.999999999 USD a million: 2,333,333,333 + 20,000 nano-USD."""
    books = Books(tmp_path, traced=True)
    one = call(attempt(Usage(1_000_000, 2), deployment=DEPLOYMENTS[2], finish=("stop",)))
    assert cost_so_far(one) == 2_333_353_333
    asyncio.run(books.settle([one]))
    assert books.asked("SELECT cost_nanousd, price_source FROM attempts") == [(2_333_353_333, "override")]
    assert sum(books.series("pointsman_cost_usd_total").values()) == 2_333_353_333
    assert books.lines[one.id]["cost"]["total_nano_usd"] == 2_333_353_333
    totals = {span.attributes[Attr.COST_TOTAL] for span in books.spans if Attr.COST_TOTAL in span.attributes}
    assert totals == {2.333353333}


@pytest.mark.parametrize("traced", [True, False])
def test_what_nobody_can_price_is_nowhere_a_zero(tmp_path: Path, *, traced: bool) -> None:
    books = Books(tmp_path, traced=traced)
    one = call(attempt(Usage(5, 5), deployment=FREE_OF_PRICE, finish=("stop",)))
    assert cost_so_far(one) is None
    asyncio.run(books.settle([one]))
    assert books.asked("SELECT cost_nanousd, unpriced_reason FROM attempts") == [(None, "no_price")]
    assert books.series("pointsman_cost_usd_total") == {}
    assert books.lines[one.id]["cost"].get("total_nano_usd") is None
    assert not any(Attr.COST_TOTAL in span.attributes for span in books.spans)
