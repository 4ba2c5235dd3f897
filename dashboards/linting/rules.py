"""Checks of rules: names, texts, labels, guards against little traffic, and the runbook behind each alert."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import promql_parser as ql

from dashboards.alerting.values import Alert
from dashboards.linting import promql
from dashboards.linting.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dashboards.alerting.values import Group, Recording

_LABEL: Final = re.compile(r"\$labels\.(\w+)")
_WAIT: Final = re.compile(r"\d+[mh]")
_RECORD: Final = re.compile(r"[a-z_]+:pointsman_[a-z_]+:[a-z0-9_]+")


def check_group(group: Group, sections: Collection[str]) -> Iterator[Finding]:
    """Everything that is wrong with a group; `sections` are the anchors of the runbook."""
    if not re.fullmatch(r"pointsman-[a-z-]+", group.name) or not group.about.endswith("."):
        yield Finding("group-name", group.name, "its name or its description is not as the others'")
    for rule in group.rules:
        where = f"{group.name} / {rule.name if isinstance(rule, Alert) else rule.record}"
        found = (*_expr(rule), *(_alert(rule, sections) if isinstance(rule, Alert) else _recording(rule)))
        yield from (Finding(name, where, what) for name, what in found)


def _expr(rule: Alert | Recording) -> Iterator[tuple[str, str]]:
    yield from promql.problems(rule.expr, in_board=False)


def _recording(rule: Recording) -> Iterator[tuple[str, str]]:
    if not _RECORD.fullmatch(rule.record):
        yield "recording-name", "recorded series are called level:metric:operations"


def _alert(alert: Alert, sections: Collection[str]) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"Pointsman[A-Z][A-Za-z]+", alert.name):
        yield "alert-name", "alerts are called PointsmanSomething"
    if not _WAIT.fullmatch(alert.wait):
        yield "alert-wait", f"{alert.wait} is no number of minutes or hours"
    for text in (alert.summary, alert.description):
        if not text.endswith(".") or text.count("{{") != text.count("}}"):
            yield "alert-texts", f"{text!r} is no sentence, or its templates are not closed"
    if alert.runbook.partition("#")[2] not in sections:
        yield "alert-runbook", f"docs/runbook.md has no section {alert.name}"
    try:
        tree = promql.parsed(alert.expr)
    except ValueError:
        return  # said already
    known = promql.labels_out(tree) | alert.labels.keys() | {"instance", "job"}
    named = {label for text in (alert.summary, alert.description) for label in _LABEL.findall(text)}
    for label in sorted(named - known):
        yield "alert-texts", f"a text names {label}, which the alert does not have"
    if is_share(tree) and not is_guarded(tree):
        yield "alert-guard", "it is about a share, and fires on a single call where there is little traffic"


def is_share(tree: ql.Expr) -> bool:
    """Whether somewhere one rate is divided by another."""
    if isinstance(tree, ql.BinaryExpr) and str(tree.op) == "/" and _has_rate(tree.lhs) and _has_rate(tree.rhs):
        return True
    return any(is_share(child) for child in promql.children(tree))


def is_guarded(tree: ql.Expr) -> bool:
    """Whether it also asks that there is enough traffic."""
    if isinstance(tree, ql.BinaryExpr) and str(tree.op) == "and":
        return True
    return any(is_guarded(child) for child in promql.children(tree))


def _has_rate(tree: ql.Expr) -> bool:
    return "rate(" in str(tree) or any(
        (isinstance(child, ql.Call) and child.func.name in promql.RATES) or _has_rate(child)
        for child in promql.children(tree)
    )
