"""What was spent, as people and programs read it: a table, JSON, or CSV. Amounts are exact in all of them."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.commands.csv_cells import cell_of
from gateway.scrubbing import printable
from gateway.signals.telemetry import NANO
from gateway.state.ledger.rollups import COMPONENTS
from gateway.tables import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.ledger.hardware_report import Idle
    from gateway.state.ledger.reports import Spend

NOTHING: Final = "-"
UNPRICED: Final = "unpriced"
MICRO: Final = 1_000_000


class Report(NamedTuple):
    """`idle` are lines of hardware that nobody used, in no total; `hardware` is all of it, None where there is none."""

    by: tuple[str, ...]
    groups: list[Spend]
    total: Spend
    idle: list[Idle]
    hardware: Idle | None


class Column(NamedTuple):
    """`is_asked`: by a report whose total has something there."""

    head: str
    cell: Callable[[Spend], str]
    is_asked: Callable[[Spend], object] = lambda _: True


def usd(nanousd: int) -> str:
    """An exact amount: no rounding between the ledger and the reader."""
    sign, (whole, part) = "-" if nanousd < 0 else "", divmod(abs(nanousd), NANO)
    return f"{sign}{whole}.{part:09d}"


def seconds(microseconds: int) -> str:
    return f"{microseconds // MICRO}.{microseconds % MICRO:06d}"


def _amount(nanousd: int | None) -> str:
    return NOTHING if nanousd is None else usd(nanousd)


def _cost(spend: Spend) -> str:
    """What has no price is not free."""
    return UNPRICED if spend.cost_nanousd is None and spend.unpriced_attempts else _amount(spend.cost_nanousd)


def _component(name: str, head: str) -> Column:
    return Column(head, lambda spend: _amount(getattr(spend, name)), lambda total: getattr(total, name))


_HEADS: Final = ("input USD", "cached USD", "written USD", "output USD", "request USD", "tool USD")
GPU: Final = Column("gpu s", lambda spend: seconds(spend.gpu_us), lambda total: total.gpu_us)
COST: Final = Column("cost USD", _cost)
COLUMNS: Final = (
    Column("requests", lambda spend: str(spend.requests)),
    Column("attempts", lambda spend: str(spend.attempts)),
    Column("input", lambda spend: str(spend.input_tokens)),
    Column("cached", lambda spend: str(spend.cached_input_tokens)),
    Column("written", lambda spend: str(spend.cache_write_tokens), lambda total: total.cache_write_tokens),
    Column("output", lambda spend: str(spend.output_tokens)),
    Column("reasoning", lambda spend: str(spend.reasoning_tokens), lambda total: total.reasoning_tokens),
    Column("estimated", lambda spend: f"{spend.estimated_share:.1%}"),
    COST,
    *map(_component, COMPONENTS, _HEADS),
    _component("unsplit_nanousd", "older USD"),
    Column("unpriced tokens", lambda spend: str(spend.unpriced_tokens) if spend.unpriced_attempts else NOTHING),
    Column("hits", lambda spend: str(spend.cache_hits), lambda total: total.cache_hits),
    Column(
        "saved USD",
        lambda spend: usd(spend.saved_nanousd) if spend.cache_hits else NOTHING,
        lambda total: total.cache_hits,
    ),
    GPU,
)


def as_table(report: Report) -> str:
    """The report for people. Unpriced tokens are named beside the cost: they are not in it, and not free. What idled
    comes below the total: it is no part of it.
    """
    asked = [column for column in COLUMNS if column.is_asked(report.total) or (column is GPU and report.hardware)]
    heads = [*report.by, *(column.head for column in asked)]
    lines = [_names(spend.names) + [column.cell(spend) for column in asked] for spend in report.groups]
    rest = [""] * (len(report.by) - 1)
    total = ["total", *rest, *(column.cell(report.total) for column in asked)]
    below = [_names(idle.names) + [_idle_cell(idle, column) for column in asked] for idle in report.idle]
    shown = aligned([heads, *lines, total, *below], len(report.by))
    rule = "-" * max(map(len, shown))
    body = [shown[0], rule, *shown[1 : len(lines) + 1], rule, *shown[len(lines) + 1 :]]
    return "\n".join(body if report.hardware is None else [*body, _variance(report.hardware)])


def _names(names: Sequence[str | None]) -> list[str]:
    return [NOTHING if name is None else printable(name) for name in names]


def _idle_cell(idle: Idle, column: Column) -> str:
    if column is GPU:
        return seconds(idle.idle_us)
    if column is COST:
        return UNPRICED if idle.idle_nanousd is None else usd(idle.idle_nanousd)
    return NOTHING


def _variance(hardware: Idle) -> str:
    busy, idle, variance = hardware.busy_nanousd, hardware.idle_nanousd, hardware.variance_nanousd
    if busy is None or idle is None or variance is None:
        return "hardware: nobody said what it costs (gpu in the policy file)"
    return (
        f"hardware: {usd(busy + idle)} USD in full, {usd(busy)} of it busy; "
        f"{usd(hardware.charged_nanousd)} charged, variance {usd(variance)}"
    )


def as_document(report: Report) -> str:
    """The report as JSON; money in nano-USD and, for reading, in USD."""
    document = {
        "by": report.by,
        "groups": [_object(spend) for spend in report.groups],
        "total": _object(report.total),
        "idle": report.idle,
        "hardware": report.hardware,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _object(spend: Spend) -> dict[str, object]:
    shown = msgspec.to_builtins(spend)
    cost_usd = usd(spend.cost_nanousd) if spend.cost_nanousd is not None else None
    told = {"cost_usd": cost_usd, "estimated_share": round(spend.estimated_share, 6)}
    return {**shown, **told, "saved_usd": usd(spend.saved_nanousd)}


def as_csv(report: Report) -> str:
    """A line for each group, the total, and what idled; `line` says which. An empty cell is unknown, and no zero."""
    fields = [name for name in report.total.__dataclass_fields__ if name not in ("name", "names")]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["line", *report.by, *map(_head, fields)])
    for spend in report.groups:
        writer.writerow(["group", *map(cell_of, spend.names), *_values(spend, fields)])
    writer.writerow(["total", *[""] * len(report.by), *_values(report.total, fields)])
    for idle in report.idle:
        known = {"cost_nanousd": idle.idle_nanousd, "gpu_us": idle.idle_us}
        cells = [_value(name, known.get(name)) for name in fields]
        writer.writerow(["idle", *map(cell_of, idle.names), *cells])
    return out.getvalue().removesuffix("\r\n")


def _head(name: str) -> str:
    return name.replace("_nanousd", "_usd").replace("gpu_us", "gpu_s")


def _values(spend: Spend, fields: Sequence[str]) -> list[object]:
    return [_value(name, getattr(spend, name)) for name in fields]


def _value(name: str, value: Any) -> object:  # noqa: ANN401 - a number or nothing
    if value is None:
        return ""
    if name.endswith("_nanousd"):
        return usd(value)
    return seconds(value) if name == "gpu_us" else value


FORMATS: Final = {"table": as_table, "json": as_document, "csv": as_csv}
