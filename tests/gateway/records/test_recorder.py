from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Tally
from gateway.explaining.recent import RecentDecisions
from gateway.records import recorder
from gateway.records.call_metrics import CallMetrics
from gateway.records.recorder import Recorder, Sinks
from gateway.records.request_log import RequestLog
from gateway.records.settlement import settle
from gateway.signals import telemetry
from gateway.signals.conventions import Attr
from gateway.signals.exposition import render
from gateway.signals.logs import LogSink
from gateway.signals.metrics import Registry
from gateway.signals.sampling import Sampling
from gateway.signals.telemetry import NANO
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import answered, attempt, cached_hit, call
from tests.gateway.kept_spans import EVERYTHING, traces_to
from tests.gateway.limited_calls import Gate, limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from gateway.records.settlement import SettledCall
    from gateway.signals.span_values import Span
    from gateway.state.ledger.schema import LedgerRow

CANARY = "sk-canary-7Yq2vK9xPz4Lm8Rt"  # gitleaks would be right anywhere else


class FakeCounts:
    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.broken = False

    async def count(self, text_parts: list[str], model: str) -> int:
        await self.go.wait()
        return len("".join(text_parts).split()) if model else 0

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int:
        await self.go.wait()
        if self.broken:
            raise RuntimeError(f"no ranks for {model} and {request.model}")
        return 10


class Heard:
    """What every sink heard, and the recorder that told them."""

    def __init__(self, sampling: Sampling = EVERYTHING) -> None:
        self.rows: list[LedgerRow] = []
        self.spans: list[Span] = []
        self.stream = io.BytesIO()
        self.counts = FakeCounts()
        self.told = asyncio.Event()
        self.registry = Registry()
        self.decisions = RecentDecisions()
        sinks = Sinks(
            CallMetrics(self.registry),
            self,
            RequestLog(as_json=True),
            LogSink(self.stream),
            self.decisions,
            traces_to(self.spans, sampling),
        )
        self.recorder = Recorder(self.counts, sinks)

    def append(self, rows: Sequence[LedgerRow]) -> None:
        self.rows += rows
        if rows:
            self.told.set()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def everything(self) -> str:
        return "\n".join(
            (
                repr(self.rows),
                repr(self.spans),
                self.stream.getvalue().decode(),
                render(self.registry.snapshot()).decode(),
            )
        )


async def tell(*calls: Call, sampling: Sampling = EVERYTHING) -> Heard:
    heard = Heard(sampling)
    heard.recorder.start()
    for one in calls:
        heard.recorder.record(one)
    await heard.recorder.close()
    assert heard.recorder.pending == 0
    return heard


async def test_success_error_and_disconnect_leave_one_row_per_attempt_and_one_line_each() -> None:
    lost = Failure(FailureKind.TRUNCATED, maybe_billed=True)
    ends = (
        answered(),
        call(attempt(failure=lost, text=("a b",)), status=200, error_code="upstream_incomplete"),
        call(attempt(cancelled=True, text=("a b c",)), status=200, cancelled=True, error_code="client_disconnected"),
        call(attempt(failure=Failure(FailureKind.CONNECT), sent=False), attempt(Usage(1, 1), number=2)),
        call(status=401, error_code="invalid_api_key", principal=None),
    )
    heard = await tell(*ends)
    keys = [(row.request_id, row.attempt) for row in heard.rows]
    assert sorted(keys) == sorted((end.id, tried.number) for end in ends for tried in end.attempts)
    assert sorted(str(line["request_id"]) for line in heard.lines) == sorted(end.id for end in ends)
    estimated = {row.request_id: row.output_tokens for row in heard.rows if row.estimated}
    assert estimated == {ends[1].id: 2, ends[2].id: 3}
    assert len(heard.spans) == len(ends) + len(keys) + 1, "and the stage that refused the last one"


TOKENS = st.integers(0, 10**8)


COUNTED = st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, st.just(value=False), st.none())


@given(st.lists(COUNTED, min_size=1, max_size=5))
def test_ledger_metric_span_and_log_agree_to_the_nano_dollar(usages: list[Usage]) -> None:
    attempts = [attempt(usage, number=number) for number, usage in enumerate(usages, 1)]
    heard = asyncio.run(tell(call(*attempts)))
    costs = [row.cost_nanousd for row in heard.rows]
    total = sum(cost for cost in costs if cost is not None)
    assert None not in costs
    cells = heard.registry.cells(telemetry.COST).children.values()
    assert sum(cell.value for cell in cells) == total
    assert sum(cell.value for cell in heard.registry.cells(telemetry.TEAM_COST).children.values()) == total
    server, *clients = heard.spans
    assert [round(float(str(span.attributes[Attr.COST_TOTAL])) * NANO) for span in clients] == costs
    assert round(float(str(server.attributes[Attr.COST_TOTAL])) * NANO) == total
    logged = heard.lines[0]["cost"]
    assert isinstance(logged, dict)
    assert logged["total_nano_usd"] == total
    assert sum(logged["components"].values()) == total


async def test_a_secret_shows_up_in_no_sink() -> None:
    echoed = Failure(FailureKind.STATUS, f"Incorrect API key provided: {CANARY}.", status=401, code="invalid_api_key")
    headers = {"Authorization": f"Bearer {CANARY}", "x-api-key": CANARY, "Cookie": CANARY}
    headers["User-Agent"] = f"curl?api_key={CANARY}"
    heard = await tell(
        call(attempt(failure=echoed), status=502, error_code="upstream_error", headers=headers),
        call(attempt(Usage(1, 1), text=(f"the secret is {CANARY}",)), headers=headers),
        call(attempt(cancelled=True, text=(CANARY,)), cancelled=True, headers=headers),
    )
    told = heard.everything()
    assert len(heard.rows) == 3
    for form in (CANARY, CANARY[3:], base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex()):
        assert form not in told


async def test_trouble_with_one_call_is_counted_and_loses_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broken = answered()
    broken.attempts[0].deployment = None  # type: ignore[assignment]  # what no code should do
    heard = await tell(answered(), broken, answered())
    assert len(heard.rows) == 2
    assert heard.recorder.failures == 1
    assert broken.id in caplog.text


async def test_a_call_that_cannot_be_counted_is_billed_as_unknown() -> None:
    heard = Heard()
    heard.counts.broken = True
    heard.recorder.start()
    heard.recorder.record(call(attempt(text=("a b",))))
    await heard.recorder.close()
    (row,) = heard.rows
    assert (row.cost_nanousd, row.unpriced_reason, row.estimated) == (None, "no_usage", True)
    assert heard.recorder.failures == 1


async def test_slow_counting_holds_up_nobody_else() -> None:
    heard = Heard()
    heard.counts.go.clear()
    heard.recorder.start()
    heard.recorder.record(call(attempt(text=("a b",))))
    heard.recorder.record(answered())
    await asyncio.wait_for(heard.told.wait(), 5)
    assert len(heard.rows) == 1
    assert heard.recorder.pending == 1
    heard.counts.go.set()
    await heard.recorder.close()
    assert len(heard.rows) == 2


async def test_calls_that_must_be_counted_late_in_a_long_queue_are_not_lost_at_the_end() -> None:
    heard = Heard()
    for _ in range(64):
        heard.recorder.record(answered())
    for _ in range(16):
        heard.recorder.record(call(attempt(text=("a b",))))
    heard.recorder.start()
    await heard.recorder.close()
    assert len(heard.rows) == 80
    assert heard.recorder.pending == 0


async def test_a_flood_is_settled_in_slices_that_let_others_run() -> None:
    heard = Heard()
    longest = 0

    class Ledger:
        def append(self, rows: Sequence[LedgerRow]) -> None:
            nonlocal longest
            longest = max(longest, len(rows))
            heard.append(rows)

    sinks = heard.recorder._sinks
    told = Sinks(sinks.metrics, Ledger(), sinks.request_log, sinks.lines, heard.decisions)
    heard.recorder = Recorder(heard.counts, told)
    for _ in range(500):
        heard.recorder.record(answered())
    assert heard.recorder.pending == 500
    heard.recorder.start()
    turns = 0
    while heard.recorder.pending:
        await asyncio.sleep(0)
        turns += 1
    assert longest <= 64
    assert turns >= 500 // 64
    await heard.recorder.close()
    assert len(heard.rows) == 500


async def test_calls_recorded_while_it_runs_are_settled_without_a_nudge() -> None:
    heard = Heard()
    heard.recorder.start()
    for round_ in range(1, 4):
        heard.recorder.record(answered())
        await asyncio.wait_for(heard.told.wait(), 5)
        heard.told.clear()
        assert len(heard.rows) == round_
    await heard.recorder.close()
    assert len(heard.rows) == 3


async def test_what_had_to_be_counted_is_settled_under_its_limits_once_it_is() -> None:
    gate = Gate(limit("tokens", 1000))
    counted, uncountable = [await gate.admit(gate.call(output_tokens_max=50)) for _ in range(2)]
    heard = Heard()
    heard.recorder.start()
    for one in (counted, uncountable):
        gate.attempt(one, None).tally = Tally(text=["a b c"])
        one.scope.close()
    heard.recorder.record(counted)
    await asyncio.wait_for(heard.told.wait(), 5)
    assert (await gate.accounts())["key.tokens.60.0:ci"] == (13.0, gate.now, 150)
    heard.counts.broken = True
    heard.recorder.record(uncountable)
    await heard.recorder.close()
    assert (await gate.accounts())["key.tokens.60.0:ci"] == (13.0 + 150.0, gate.now, 0), "nobody knows, so all of it"


async def test_what_is_not_kept_of_traces_takes_the_short_form(monkeypatch: pytest.MonkeyPatch) -> None:
    general: list[str] = []

    def settled(one: Call) -> SettledCall:
        general.append(one.id)
        return settle(one)

    monkeypatch.setattr(recorder, "settle", settled)
    usual, hit, cheap, dear, slow = answered(), cached_hit(), answered(), answered(Usage(10**6, 10**6)), answered()
    slow.ended_s += 60
    heard = await tell(usual, hit, cheap, dear, slow, sampling=Sampling(0.0, cost_nanousd=NANO))
    assert len(heard.rows) == 5
    assert general == [hit.id, dear.id, slow.id], "a hit by its meaning has more to tell than fits the short form"
    kept = {span.trace_id: span.attributes.get(Attr.SAMPLED_BY) for span in heard.spans if span.parent_id is None}
    assert kept == {dear.trace.trace_id: "cost", slow.trace.trace_id: "slow"}


async def test_a_dear_call_is_told_once() -> None:
    """Its trace is kept beside the short form, which has told the others."""
    heard = await tell(answered(), answered(Usage(10**6, 10**6)), sampling=Sampling(0.0, cost_nanousd=NANO))
    assert len({row.request_id for row in heard.rows}) == len(heard.rows) == len(heard.lines) == 2
    assert sum(cell.value for cell in heard.registry.cells(telemetry.REQUESTS).children.values()) == 2
    total = sum(row.cost_nanousd or 0 for row in heard.rows)
    assert sum(cell.value for cell in heard.registry.cells(telemetry.COST).children.values()) == total
