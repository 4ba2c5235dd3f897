"""PromQL as a tree: parsed by the Rust library that Prometheus's own grammar was ported to, checked by us."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import promql_parser as ql

from dashboards.catalogue import OF_TARGETS, family_of, is_of_engines, labels_of
from gateway.signals.telemetry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_INTERVAL: Final = timedelta(seconds=421)
RANGE: Final = timedelta(seconds=863)
LEAST_FIXED: Final = timedelta(hours=1)
"""A window that is spelt out means something of its own (a day, an hour); a shorter one should be the graph's."""
OF_PRESENCE: Final = frozenset({"group", "count"})
"""What asks whether there is a series, and not for its value."""
OF_COUNTERS: Final = frozenset({"rate", "irate", "increase", "resets", "changes", "absent", *OF_PRESENCE})
RATES: Final = frozenset({"rate", "irate", "increase"})
OF_GAUGES: Final = frozenset({"deriv", "delta", "idelta", "predict_linear"})
WITHOUT_TARGETS: Final = frozenset({"ALERTS"})
_RECORDED: Final = re.compile(r"[a-z_]+:[a-z_]+:[a-z0-9_]+")
_VARIABLE: Final = re.compile(r"\$(\w+)|\$\{(\w+)[^}]*\}")


def variables_in(expr: str) -> set[str]:
    """Names of variables in a query, Grafana's own left out."""
    found = {first or second for first, second in _VARIABLE.findall(expr)}
    return {name for name in found if not name.startswith("__")}


def filled(expr: str) -> str:
    """`expr` with windows of lengths that nobody writes, so that they are known again, and anything for the rest."""
    told = expr.replace("$__rate_interval", "421s").replace("$__range_s", "863").replace("$__range", "863s")
    return _VARIABLE.sub("x", told)


def parsed(expr: str) -> ql.Expr:
    """The tree of a query whose variables are filled in; raises ValueError where it is none."""
    return ql.parse(filled(expr))


def problems(expr: str, *, in_board: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with a query, as (rule, words). `in_board`: it must look at the gateways that are chosen."""
    try:
        tree = parsed(expr)
    except ValueError as error:
        yield "target-promql", f"{error}: {expr}"
        return
    yield from _walk(tree, "", in_board=in_board)


def selectors(tree: ql.Expr) -> Iterator[ql.VectorSelector]:
    """Every selector in a query."""
    if isinstance(tree, ql.VectorSelector):
        yield tree
    for child in children(tree):
        yield from selectors(child)


def children(tree: ql.Expr) -> list[ql.Expr]:
    if isinstance(tree, ql.BinaryExpr):
        return [tree.lhs, tree.rhs]
    if isinstance(tree, ql.Call):
        return list(tree.args)
    if isinstance(tree, ql.AggregateExpr):
        return [tree.expr] + ([tree.param] if tree.param is not None else [])
    if isinstance(tree, ql.MatrixSelector):
        return [tree.vector_selector]
    if isinstance(tree, ql.ParenExpr | ql.UnaryExpr | ql.SubqueryExpr):
        return [tree.expr]
    return []


def labels_out(tree: ql.Expr) -> frozenset[str]:
    """The labels that an answer's series have; of a binary operator those of the side that has more."""
    if isinstance(tree, ql.VectorSelector):
        return _labels_of(tree)
    if isinstance(tree, ql.AggregateExpr):
        if str(tree.op).startswith(("topk", "bottomk")):
            return labels_out(tree.expr)
        return frozenset(tree.modifier.labels) if tree.modifier is not None else frozenset()
    if isinstance(tree, ql.Call) and tree.func.name == "histogram_quantile":
        return labels_out(tree.args[1]) - {"le"}
    found = [labels_out(child) for child in children(tree)]
    return max(found, key=len, default=frozenset())


def _labels_of(selector: ql.VectorSelector) -> frozenset[str]:
    name = selector.name or ""
    if _RECORDED.fullmatch(name):
        return frozenset({"job", "sli"})
    return labels_of(name) or frozenset()


def _walk(tree: ql.Expr, within: str, *, in_board: bool) -> Iterator[tuple[str, str]]:
    """`within` is the function around the next selector."""
    if isinstance(tree, ql.VectorSelector):
        yield from _selector(tree, within, in_board=in_board)
    if isinstance(tree, ql.Call) and tree.func.name == "histogram_quantile":
        yield from _quantile(tree)
    if isinstance(tree, ql.AggregateExpr):
        yield from _grouping(tree)
    if isinstance(tree, ql.MatrixSelector) and in_board:
        yield from _window(tree, within)
    name = tree.func.name if isinstance(tree, ql.Call) else within if isinstance(tree, ql.MatrixSelector) else ""
    if isinstance(tree, ql.AggregateExpr) and str(tree.op) in OF_PRESENCE:
        name = str(tree.op)
    for child in children(tree):
        yield from _walk(child, name, in_board=in_board)


def _selector(selector: ql.VectorSelector, within: str, *, in_board: bool) -> Iterator[tuple[str, str]]:
    name = selector.name or ""
    if _RECORDED.fullmatch(name) and family_of(name) is None:
        return
    family, labels = family_of(name), labels_of(name)
    if family is None or labels is None:
        yield "target-known-metric", f"nobody tells the metric {name or selector}"
        return
    named = {matcher.name for matcher in selector.matchers.matchers}
    for label in sorted(named - labels - set(OF_TARGETS)):
        yield "target-known-label", f"{name} has no label {label}"
    if in_board and not is_of_engines(name) and name not in WITHOUT_TARGETS:
        yield from (
            (f"target-{label}", f"{name} is not filtered by ${label}")
            for label in OF_TARGETS
            if not _filters(selector, label)
        )
    counts = family.kind is Kind.COUNTER or (family.kind is Kind.HISTOGRAM and name != family.name)
    if counts and in_board and within not in OF_COUNTERS:
        yield "target-counter-agg", f"{name} is a counter: ask for its rate or increase"
    if not counts and within in RATES:
        yield "target-gauge-rate", f"{name} is no counter, so {within} of it means nothing"
    if counts and within in OF_GAUGES:
        yield "target-counter-agg", f"{name} is a counter, so {within} of it breaks at restarts"


def _filters(selector: ql.VectorSelector, label: str) -> bool:
    return any(
        matcher.name == label and str(matcher.op) == "MatchOp.Re" and matcher.value == "x"
        for matcher in selector.matchers.matchers
    )


def _window(matrix: ql.MatrixSelector, within: str) -> Iterator[tuple[str, str]]:
    window = matrix.range
    if within in {"rate", "irate"} and window != RATE_INTERVAL:
        yield "target-rate-interval", f"{within} over {window}: use $__rate_interval"
    elif window not in {RATE_INTERVAL, RANGE} and window < LEAST_FIXED:
        yield "target-rate-interval", f"{within} over {window}: use $__rate_interval or $__range"


def _quantile(call: ql.Call) -> Iterator[tuple[str, str]]:
    inner = call.args[1]
    while isinstance(inner, ql.ParenExpr):
        inner = inner.expr
    grouped = isinstance(inner, ql.AggregateExpr) and inner.modifier is not None and "le" in inner.modifier.labels
    if not grouped:
        yield "target-quantile-sum", "sum the buckets by (le) before histogram_quantile"


def _grouping(tree: ql.AggregateExpr) -> Iterator[tuple[str, str]]:
    if tree.modifier is None:
        return
    known = labels_out(tree.expr)
    for label in tree.modifier.labels:
        if known and label not in known:
            yield "target-known-label", f"grouped by {label}, which {tree.expr} does not have"
