"""Writes docs/metrics.md from the code: every metric with its type, unit, labels and what it is about.

python scripts/make_metrics.py
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.signals import (
    cache_telemetry,
    engine_telemetry,
    ledger_telemetry,
    limit_telemetry,
    telemetry,
    vitals_telemetry,
)
from gateway.signals.catalogue import FAMILIES, SOURCES
from gateway.signals.metrics import SERIES_MAX
from gateway.signals.telemetry import Family, Kind, Merge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

TITLES: Final[dict[str, str]] = {
    telemetry.__name__: "Requests, attempts, tokens and cost",
    limit_telemetry.__name__: "Limits, budgets, replays and shedding",
    cache_telemetry.__name__: "Caches",
    engine_telemetry.__name__: "Engines",
    ledger_telemetry.__name__: "Ledger, prices and invoices",
    vitals_telemetry.__name__: "The process, its workers and telemetry itself",
}
UNITS: Final = {
    "seconds": "s",
    "bytes": "bytes",
    "usd": "USD",
    "ratio": "0 to 1",
    "tokens": "tokens",
}
# An installation to reckon with: what one label may be is seldom free of what another is.
TOGETHER: Final = (
    (("provider", "deployment", "model"), 30),
    (("from_deployment", "to_deployment"), 15),
    (("route", "model"), 150),
    (("provider", "model"), 25),
    (("team", "model"), 600),
    (("deployment", "credential"), 35),
    (("deployment", "team"), 200),
    (("scope", "id"), 200),
    (("scope", "limit", "decision"), 40),
    (("version", "python"), 1),
)
EACH: Final = {"component": 6, "deployment": 30, "engine": 3, "model": 30, "outcome": 6, "provider": 12, "route": 12}
EACH_MORE: Final = {"source": 2, "stream": 2, "team": 200, "type": 5, "worker": 4, "metric": 5, "store": 1, "hash": 1}
FEW: Final = 3

ABOUT: Final = f"""# Metrics

What `GET /metrics` of the operators' listener tells, in Prometheus's text format, or in OpenMetrics with exemplars for
a scraper that asks for it. This page is made from the code by `python scripts/make_metrics.py`; a test holds the two
together.

- **Labels are words of the policy file**, or of a list in the code. Nothing that a caller or an upstream may spell as
  it likes becomes one: a model that merely matched a pattern is `other`, a call without a route or team `none`. Keys,
  users, paths and addresses are no labels.
- **Series are bounded twice**: each metric has a cap of label sets, and the gateway one budget for all,
  `telemetry.metrics.max_series` ({SERIES_MAX} where nothing is said). Beyond either, what is new goes to `__other__`,
  and `pointsman_metric_series_rejected_total` counts it.
- **Counters are whole numbers inside**, nano-USD and nanoseconds among them, and are divided as they are written out.
  What a policy makes possible begins at zero; histograms begin with their first sample.
- **Several workers are one target.** They push what they counted to their supervisor each second; counters and
  histograms are added up and never go back, also when a worker dies, which costs at most its last second. Gauges are
  those of the workers that are there, as one number: the sum, or what the table says behind the type. They vanish with
  their workers.
- **Each worker has bundled engines of its own.** With several workers slots, lines, cells, memory and tokens per second
  are those of all their engines together, while times, the share of cells used and whether an engine is up are those of
  the worst. An engine elsewhere (`base_url`) is one for all workers, and told of once.
- **A reload** ends the gauges of what it removed. Counters stay until the process ends: a scraper may not have seen
  their last step.
- **By OTLP** (`telemetry.metrics.otlp`) durations, times to the first token and tokens of attempts are told under
  OpenTelemetry's names as well, with the `gen_ai.operation.name` that those demand (`chat`, `text_completion`,
  `embeddings`, `rerank`). It is kept for that alone: under the names below what differs in nothing else is added up.
- **Exemplars** (`trace_id`) stand on durations and times to the first token of calls whose trace is kept.

The last column is about how many series there are with 12 routes, 150 pairs of route and model, 30 deployments, 200
teams and 4 workers. Money is in USD, times in seconds.
"""


def page() -> str:
    """The whole reference."""
    return "\n".join([ABOUT, *(line for source in SOURCES for line in _section(source))]).rstrip() + "\n"


def _section(source: ModuleType) -> Iterator[str]:
    yield f"## {TITLES[source.__name__]}"
    yield ""
    yield "| metric | type | unit | labels | what it is | series |"
    yield "| --- | --- | --- | --- | --- | ---: |"
    named = (value for value in vars(source).values() if isinstance(value, Family))
    for family in (one for one in named if FAMILIES[one.name] is one):
        labels = ", ".join(f"`{label}`" for label in family.labels)
        cells = (f"`{family.name}`", _type(family), unit_of(family), labels, _told(family), str(series_of(family)))
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield from _buckets(source)


def _buckets(source: ModuleType) -> Iterator[str]:
    histograms = [value for value in vars(source).values() if isinstance(value, Family) and value.buckets]
    if histograms:
        yield "Buckets:"
        yield ""
        for family in histograms:
            yield f"- `{family.name}`: {' '.join(f'{bound:g}' for bound in family.buckets)}"
        yield ""


def _type(family: Family) -> str:
    return family.kind.value if family.merge is Merge.SUM else f"{family.kind.value} ({family.merge.value})"


def unit_of(family: Family) -> str:
    """By its name, as Prometheus has it."""
    words = family.name.removesuffix("_total").split("_")
    return next((UNITS[word] for word in reversed(words) if word in UNITS), "")


def _told(family: Family) -> str:
    return family.help.replace("|", "\\|")


def series_of(family: Family) -> int:
    """About how many series an installation of the size above has of this metric, its cap at most."""
    left, sets = list(family.labels), []
    for together, count in TOGETHER:
        if set(together) <= set(left):
            left = [label for label in left if label not in together]
            sets.append(count)
    sets += [(EACH | EACH_MORE).get(label, FEW) for label in left]
    used = prod(sets)
    if family.name.startswith("pointsman_local_"):  # few deployments have an engine of one's own behind them
        used = used * EACH["engine"] // EACH["deployment"] if "engine" not in family.labels else used
    return min(used, family.cap) * (family.series_each if family.kind is Kind.HISTOGRAM else 1)


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
