"""What being observed costs: metrics, traces, log line and ledger row per request, and a scrape of 5,000 series.

    python -m benchmarks.observing [--rounds 15] [--write]

Each part is called again and again in one thread, whose own processor time is what counts, so that other processes of
the machine disturb little. A number is the best round's, for what disturbs only ever adds; beside it stands the median.
`prometheus_client` does the same updates with its children kept at hand. With --write the table goes into RESULTS.md.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import random
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import prometheus_client

from benchmarks.observing_scrapes import Found, Part, measure, of_holds, of_pushes, of_scrapes
from benchmarks.sections import put_into
from gateway.records.call_metrics import CallMetrics
from gateway.records.ledger_rows import ledger_rows
from gateway.records.request_log import RequestLog
from gateway.records.settlement import settle
from gateway.records.usual_calls import UsualCalls
from gateway.signals import telemetry
from gateway.signals.conventions import Mark
from gateway.signals.kept_traces import Destination, Traces
from gateway.signals.limit_metrics import LimitMetrics
from gateway.signals.metrics import Registry
from gateway.signals.otlp import OtlpSender
from gateway.signals.sampling import Sampling
from gateway.signals.span_export import SpanExport
from gateway.signals.spans import spans_of
from gateway.signals.tracing import trace_context
from policies.usage import Usage
from tests.gateway.calls import answered, attempt, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Call
    from gateway.records.settlement import SettledCall
    from gateway.signals.sending import Sent
    from gateway.signals.span_values import Span
    from policies.tariffs import Price

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
TITLE: Final = "Observing"
BATCH: Final = 64
ROW: Final = "| --- | ---: | ---: | ---: | ---: |"
ABOUT: Final = """\
Processor time of one thread: the best of {rounds} rounds, their median, and the aim. `python -m benchmarks.observing
--write` makes this table. The last column is the median beside the aim (above 1: it is missed), and beside that of
`prometheus_client` {client} where that does the same. The collector of garbage is set as `pointsman serve` sets it.
Each part runs again and again on the same values, so code and data are at hand, as in a gateway that is busy and not as
in one that was idle. Threads that build traces or write scrapes hold the interpreter meanwhile, a scrape's for no
longer at a time than the table says."""


# -- per request ----------------------------------------------------------------------------------------------------


def per_request() -> list[Part]:
    usual = answered(Usage(1200, 340, 400))
    stream = call(attempt(Usage(1200, 340, 400), finish=("stop",), first_token_s=1000.2), stream=True)
    return [
        *_metrics(usual, stream),
        *_tracing(usual),
        Part("log line, by the general form", partial(RequestLog(as_json=True).line, settle(stream))),
        Part("ledger row, by the general form", partial(ledger_rows, settle(stream))),
        Part("settlement, row, line and metrics together, of the usual call", _usual(usual)),
        Part("the same by the general form, which calls with a kept trace take", _general(usual)),
    ]


def _metrics(usual: Call, stream: Call) -> list[Part]:
    metrics = CallMetrics(Registry())
    settled, streamed = settle(usual), settle(stream)
    requests, attempts, costs = metrics.meters_of(settled)
    cost, used = settled.attempts[0].cost, settled.attempts[0].usage
    if cost is None:
        raise RuntimeError("the usual call has a price")
    limits = LimitMetrics(Registry())
    grants = limits.grants_of([("key", "requests"), ("team", "cost")])

    def count() -> None:
        requests.add(0.5, 0.001)
        attempts.add(0.499, used)
        costs.add(cost)

    def grant() -> None:
        began_s = time.perf_counter()
        grants.value += 1
        limits.allowed.observe(time.perf_counter() - began_s)

    return [
        Part("metrics of the usual call", count, 8.0),
        Part("the same by prometheus_client", _by_client(used), None),
        Part("metrics of a stream, by the general form", partial(metrics.add, streamed), 8.0),
        Part("metrics of a grant under limits", grant, 8.0),
    ]


def _by_client(used: Usage) -> Callable[[], None]:
    """As many updates of children that are kept at hand."""
    registry = prometheus_client.CollectorRegistry()

    def counter(name: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, name, ["label"], registry=registry).labels("a")

    counters = [counter(f"counter_{number}") for number in range(8)]
    amounts = [counter(f"amount_{number}") for number in range(5)]
    waits = [
        prometheus_client.Histogram(
            f"wait_{number}", "Waits.", ["label"], buckets=telemetry.DURATION, registry=registry
        ).labels("a")
        for number in range(3)
    ]

    def count() -> None:
        for one in counters:
            one.inc()
        for one in amounts:
            one.inc(used.input_tokens)
        for wait in waits:
            wait.observe(0.5)

    return count


class Nowhere:
    """A receiver that takes everything."""

    def send(self, _: list[Span]) -> Sent:
        raise RuntimeError("nothing is sent here")

    def close(self) -> None:
        """Nothing is open."""


def _tracing(usual: Call) -> list[Part]:
    rng = random.Random(7)
    rules = Sampling(ratio=0.0, cost_nanousd=10**12)
    traces = Traces([Destination(rules, SpanExport(Nowhere()))], rng)
    sender = OtlpSender("http://127.0.0.1:1/v1/traces", {}, "0", 1.0)
    marks = (Mark.AUTH, Mark.READ, Mark.REPLAY, Mark.ROUTE, Mark.LIMITS, Mark.CACHE)
    batch = [_marked(rng, marks) for _ in range(BATCH)]

    def mark() -> None:
        found: list[tuple[str, float]] = []
        for name in marks:
            found.append((name, time.monotonic()))  # noqa: PERF401 - as the stages do, one by one

    def leave_out() -> None:
        mark()
        if traces.may_keep(usual) or traces.outlook.is_dear(usual):
            raise RuntimeError("it is to be left out")

    def build() -> list[Span]:
        return [span for one in batch for span in spans_of(one)]

    def export() -> None:
        gzip.compress(sender.encode(build()).SerializeToString(), compresslevel=1)

    return [
        Part("marks of six stages", mark, 1.0),
        Part("tracing, sampled out, marks included", leave_out, 8.0),
        Part("tracing, kept, off the path: spans built, encoded, compressed", export, 120.0, times=3, each=BATCH),
        Part("of that: spans built", build, times=10, each=BATCH),
    ]


def _marked(rng: random.Random, marks: tuple[str, ...]) -> SettledCall:
    """A call like no other, so that compression finds no more in a batch than it would in real ones."""
    made = answered(Usage(rng.randrange(50, 5000), rng.randrange(1, 900)))
    made.marks = [(mark, made.received_s + rng.random() / 1e3) for mark in marks]
    made.trace = trace_context(None, rng)
    return settle(made)


def _general(usual: Call) -> Callable[[], object]:
    """As the recorder does for a call that has no short form, which one whose trace is kept never has."""
    metrics, log = CallMetrics(Registry()), RequestLog(as_json=True)
    tried = usual.attempts[0]

    def tell() -> None:
        tried.usage = tried.cost = None
        settled = settle(usual)
        ledger_rows(settled)
        log.line(settled)
        metrics.add(settled, usual.trace.trace_id)

    return tell


def _usual(usual: Call) -> Callable[[], object]:
    short = UsualCalls(CallMetrics(Registry()), _nobody)
    tried = usual.attempts[0]

    def take() -> None:
        tried.usage = tried.cost = None
        if short.take(usual) is None:
            raise RuntimeError("the usual call has a short form")

    return take


def _nobody(_: Price) -> None:
    """Hears of a price."""


# -- the table --------------------------------------------------------------------------------------------------------


def table(rows: list[tuple[Part, Found]]) -> str:
    lines = ["| what | best | median | aim | ratio |", ROW]
    usual = {part.name: found.usual for part, found in rows}
    for part, found in rows:
        aim = "" if part.aim is None else f"{part.aim:g} {part.unit}"
        ratios = [] if part.aim is None else [f"{found.usual / part.aim:.2f}"]
        if part.name in _YARDSTICKS:
            ratios.append(f"{found.usual / usual[_YARDSTICKS[part.name]]:.2f} of theirs")
        ratio = ", ".join(ratios)
        shown = f"{found.best:.2f} {part.unit}", f"{found.usual:.2f} {part.unit}"
        lines.append(f"| {part.name} | {shown[0]} | {shown[1]} | {aim} | {ratio} |")
    return "\n".join(lines)


_YARDSTICKS: Final = {
    "metrics of the usual call": "the same by prometheus_client",
    "the same: written in a thread, Prometheus": "the same: written by prometheus_client",
    "the same: written in a thread, OpenMetrics": "the same: written by prometheus_client",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    options = parser.parse_args()
    parts = [*per_request(), *of_scrapes(), *of_pushes()]
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    rows = [(part, measure(part, options.rounds)) for part in parts]
    rows += of_holds(options.rounds)
    text = table(rows)
    print(text)
    if options.write:
        about = ABOUT.format(rounds=options.rounds, client=version("prometheus_client"))
        put_into(RESULTS, f"## {TITLE}\n\n{about}\n\n{text}\n")
        print(f"written to {RESULTS}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
