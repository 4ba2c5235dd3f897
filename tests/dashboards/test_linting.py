"""The linter finds what it is there to find: each of its rules has a board, a query or a rule that breaks it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dashboards import lint
from dashboards.alerting.values import Alert, Group, Recording, Severity
from dashboards.boards.moments import CHANGES
from dashboards.building.grafana import as_json
from dashboards.building.values import Board, Column, Link, Panel, Query, Row, Show, Source, Variable
from dashboards.linting import coverage, logql, promql, traceql
from dashboards.linting.board import check_board
from dashboards.linting.panel import check_panels
from dashboards.linting.rules import check_group
from gateway.signals.catalogue import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
GRAPH = Panel(
    Show.GRAPH,
    "Requests",
    "Requests per second by how they ended.",
    "reqps",
    (Query("sum by (outcome) (rate(pointsman_requests_total{**}[$__rate_interval]))", "{{outcome}}"),),
    links=(Link("Again", "/d/pointsman-test?${__url_time_range}&var-route=x"),),
)
TABLE = Panel(
    Show.TABLE,
    "Routes",
    "Requests of each route over the time shown.",
    "short",
    (Query("sum by (route) (increase(pointsman_requests_total{**}[$__range]))", instant=True),),
    columns=(
        Column("route", "Route", links=(Link("Look", "/d/pointsman-test?x&var-route=${__data.fields.Route}"),)),
        Column("Value", "Requests", unit="short"),
    ),
)
BOARD = Board(
    "pointsman-test",
    "Test",
    "A board that is as it should be.",
    (Row("Row", (GRAPH, TABLE)),),
    variables=(Variable("route", "route", "pointsman_requests_total", "Routes."),),
    notes=CHANGES,
)


def found(board: Json) -> set[str]:
    return {finding.rule for finding in (*check_board(board, {board["uid"]: board}), *check_panels(board))}


def good() -> Json:
    return as_json(BOARD)


def graph(board: Json) -> Json:
    told: Json = board["panels"][1]
    return told


def table(board: Json) -> Json:
    told: Json = board["panels"][2]
    return told


def variable(board: Json, name: str) -> Json:
    told: Json = next(one for one in board["templating"]["list"] if one["name"] == name)
    return told


def expr(text: str) -> Callable[[Json], None]:
    return lambda board: graph(board)["targets"][0].update(expr=text)


def without(name: str) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["templating"]["list"].remove(variable(board, name))

    return change


BUCKETS = "pointsman_overhead_seconds_bucket"
FILTERED = 'job=~"$job",instance=~"$instance",route=~"$route"'
BAD: dict[str, list[Callable[[Json], Any]]] = {
    "uneditable-dashboard": [lambda board: board.update(editable=True)],
    "schema-version": [lambda board: board.update(schemaVersion=41)],
    "dashboard-uid": [lambda board: board.update(uid="test")],
    "dashboard-links": [lambda board: board.update(links=[]), lambda board: board.update(tags=[])],
    "dashboard-description": [lambda board: board.update(description="")],
    "dashboard-annotations": [lambda board: board.update(annotations={"list": []})],
    "template-datasource": [
        without("datasource"),
        lambda board: variable(board, "job").update(datasource={"uid": "x"}),
    ],
    "template-job": [without("job")],
    "template-instance": [without("instance")],
    "template-all": [lambda board: variable(board, "route").update(allValue=None)],
    "template-on-time-change-reload": [lambda board: variable(board, "route").update(refresh=1)],
    "template-label-promql": [lambda board: variable(board, "route").update(query={"query": "metrics(x)"})],
    "template-defined": [expr(f'rate(pointsman_requests_total{{{FILTERED},model="$model"}}[$__rate_interval])')],
    "template-used": [lambda board: board["templating"]["list"].append(variable(board, "route") | {"name": "unused"})],
    "panel-ids": [lambda board: graph(board).pop("id"), lambda board: graph(board).update(id=table(board)["id"])],
    "panel-grid": [
        lambda board: graph(board)["gridPos"].update(w=12),
        lambda board: graph(board)["gridPos"].update(x=20),
    ],
    "panel-links": [
        lambda board: graph(board)["fieldConfig"]["defaults"]["links"][0].update(url="/d/nowhere?x"),
        lambda board: graph(board)["fieldConfig"]["defaults"]["links"][0].update(url="/d/pointsman-test?var-team=x"),
        lambda board: graph(board)["fieldConfig"]["defaults"]["links"][0].update(url="/d/pointsman-test"),
        lambda board: graph(board)["fieldConfig"]["defaults"]["links"][0].update(url="x${__data.fields.Gone}"),
    ],
    "panel-title-description": [
        lambda board: graph(board).update(title=""),
        lambda board: graph(board).update(description="Requests"),
        lambda board: graph(board).update(description="Requests per second by how they ended"),
    ],
    "panel-datasource": [
        lambda board: graph(board).update(datasource={"type": "prometheus", "uid": "fixed"}),
        lambda board: graph(board)["targets"][0].pop("datasource"),
        lambda board: graph(board)["targets"][0].update(datasource={"type": "loki", "uid": "${loki}"}, expr="{}"),
    ],
    "panel-units": [
        lambda board: graph(board)["fieldConfig"]["defaults"].pop("unit"),
        lambda board: table(board)["fieldConfig"].update(overrides=[]),
    ],
    "panel-legend": [lambda board: graph(board)["options"]["legend"].update(showLegend=False)],
    "panel-no-targets": [lambda board: graph(board).update(targets=[])],
    "target-ref-id": [lambda board: graph(board)["targets"].append(copy.deepcopy(graph(board)["targets"][0]))],
    "target-legend": [
        lambda board: graph(board)["targets"][0].pop("legendFormat"),
        lambda board: graph(board)["targets"][0].update(legendFormat="__auto"),
        lambda board: graph(board)["targets"][0].update(legendFormat="{{model}}"),
    ],
    "target-instant": [lambda board: table(board)["targets"][0].update(instant=False)],
    "target-format": [lambda board: table(board)["targets"][0].update(format="time_series")],
    "target-promql": [expr("sum(rate(x[5m])"), expr("rate(pointsman_requests_total)")],
    "target-known-metric": [expr(f"rate(pointsman_gone_total{{{FILTERED}}}[$__rate_interval])")],
    "target-known-label": [
        expr(f'rate(pointsman_requests_total{{{FILTERED},team="x"}}[$__rate_interval])'),
        expr(f"sum by (team) (rate(pointsman_requests_total{{{FILTERED}}}[$__rate_interval]))"),
    ],
    "target-job": [expr('rate(pointsman_requests_total{instance=~"$instance",route=~"$route"}[$__rate_interval])')],
    "target-instance": [expr('rate(pointsman_requests_total{job=~"$job",route=~"$route"}[$__rate_interval])')],
    "target-counter-agg": [
        expr(f"sum by (outcome) (pointsman_requests_total{{{FILTERED}}})"),
        expr(f"sum by (le) (pointsman_overhead_seconds_bucket{{{FILTERED}}})"),
        expr(f"deriv(pointsman_requests_total{{{FILTERED}}}[$__rate_interval])"),
    ],
    "target-gauge-rate": [expr(f"rate(pointsman_inflight_requests{{{FILTERED}}}[$__rate_interval])")],
    "target-rate-interval": [
        expr(f"rate(pointsman_requests_total{{{FILTERED}}}[5m])"),
        expr(f"rate(pointsman_requests_total{{{FILTERED}}}[$__range])"),
        expr(f"increase(pointsman_requests_total{{{FILTERED}}}[5m])"),
    ],
    "target-quantile-sum": [
        expr(f"histogram_quantile(0.9, rate(pointsman_overhead_seconds_bucket{{{FILTERED}}}[$__rate_interval]))"),
        expr(f"histogram_quantile(0.9, sum by (route) (rate({BUCKETS}{{{FILTERED}}}[$__rate_interval])))"),
    ],
}


def test_a_good_board_has_no_findings() -> None:
    assert found(good()) == set()


@pytest.mark.parametrize(("rule", "number"), [(rule, at) for rule, bad in BAD.items() for at in range(len(bad))])
def test_each_rule_finds_what_breaks_it(rule: str, number: int) -> None:
    board = good()
    BAD[rule][number](board)
    assert rule in found(board)


@pytest.mark.parametrize(
    ("expr", "rules"),
    [
        ('{service="pointsman"} |= "$text" | json team="team" | team=~"$team"', set()),
        ('sum(count_over_time({service="pointsman"} | json t="tokens.input" | unwrap t [$__auto]))', set()),
        ('{service="pointsman"} | json d="attempts[1].deployment" | d!=""', set()),
        ('{service="pointsman"} | json team="team" | label_format usd=`{{ .team }}`', set()),
        ('{service="pointsman"', {"target-logql"}),
        ('{service="pointsman"} |= "x', {"target-logql"}),
        ("", {"target-logql"}),
        ('{team="t"}', {"target-logql"}),
        ("{service=pointsman}", {"target-logql"}),
        ('{service="pointsman"} | json x="gone"', {"target-logql-field"}),
        ('{service="pointsman"} | json x="tokens.gone"', {"target-logql-field"}),
        ('{service="pointsman"} | json x="team.name"', {"target-logql-field"}),
        ('{service="pointsman"} | json x="a b"', {"target-logql-field"}),
        ('{service="pointsman"} | team="t"', {"target-logql-field"}),
        ('sum(rate({service="pointsman"} [5m]))', {"target-logql-auto"}),
    ],
)
def test_logql(expr: str, rules: set[str]) -> None:
    assert {rule for rule, _ in logql.problems(expr)} == rules


@pytest.mark.parametrize(
    ("expr", "is_good"),
    [
        ('{ resource.service.name = "pointsman" && kind = server && span.pointsman.cost.total > 0.01 }', True),
        ('{ resource.service.name = "pointsman" && duration > 10s && status = error }', True),
        ('{ resource.service.name = "pointsman" && span.pointsman.gone = 1 }', False),
        ('{ resource.service.name = "pointsman" && resource.gone = 1 }', False),
        ('{ resource.service.name = "pointsman" && length > 10s }', False),
        ("{ kind = server }", False),
        ('{ resource.service.name = "pointsman" ', False),
    ],
)
def test_traceql(expr: str, is_good: bool) -> None:  # noqa: FBT001 - a table
    assert (list(traceql.problems(expr)) == []) is is_good


def test_metrics_that_nobody_looks_at_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [f"sum(rate({name}[5m]))" for name in FAMILIES]
    monkeypatch.setattr(coverage, "UNSEEN", {})
    assert list(coverage.uncovered(seen)) == []
    assert [finding.where for finding in coverage.uncovered(seen[1:])] == [next(iter(FAMILIES))]
    monkeypatch.setattr(coverage, "UNSEEN", {"gone": "why", next(iter(FAMILIES)): "why"})
    assert len(list(coverage.uncovered(seen))) == 2


RATE = "sum by (job, route) (rate(pointsman_requests_total[5m]))"
ALERT = Alert(
    "PointsmanTest",
    f"{RATE} / {RATE} > 2 and {RATE} > 1",
    "5m",
    Severity.PAGE,
    "Route {{ $labels.route }} is odd.",
    "It is.",
    "pointsman-test",
    "Requests",
)


@pytest.mark.parametrize(
    ("rule", "finds"),
    [
        (ALERT, set()),
        (replace(ALERT, name="Test"), {"alert-name", "alert-runbook"}),
        (replace(ALERT, wait="5 minutes"), {"alert-wait"}),
        (replace(ALERT, summary="No sentence"), {"alert-texts"}),
        (replace(ALERT, summary="{{ $labels.team }}."), {"alert-texts"}),
        (replace(ALERT, description="{{ $value."), {"alert-texts"}),
        (replace(ALERT, expr=ALERT.expr.partition(" and ")[0]), {"alert-guard"}),
        (replace(ALERT, expr="sum by (job, route) (gone) > 1"), {"target-known-metric"}),
        (
            replace(ALERT, expr='sum by (job, route) (rate(pointsman_requests_total{team="t"}[5m])) > 1'),
            {"target-known-label"},
        ),
        (replace(ALERT, expr="sum by (job, route) (rate(x[5m])"), {"target-promql"}),
        (Recording("job:pointsman_requests:rate5m", "sum by (job) (rate(pointsman_requests_total[5m]))"), set()),
        (Recording("requests", "sum by (job) (rate(pointsman_requests_total[5m]))"), {"recording-name"}),
    ],
)
def test_rules(rule: Alert | Recording, finds: set[str]) -> None:
    group = Group("pointsman-test", "A test.", (rule,))
    assert {finding.rule for finding in check_group(group, {"pointsmantest"})} == finds


def test_groups_have_names_and_say_what_they_are_about() -> None:
    assert [finding.rule for finding in check_group(Group("test", "about", ()), ())] == ["group-name"]


def test_labels_of_answers_are_reckoned_through_a_query() -> None:
    def told(text: str) -> set[str]:
        return set(promql.labels_out(promql.parsed(text)))

    assert told("sum by (a, b) (x)") == {"a", "b"}
    assert told("sum(x)") == set()
    assert told("topk(3, sum by (team) (x))") == {"team"}
    assert told("histogram_quantile(0.9, sum by (le, model) (rate(x[5m])))") == {"model"}
    assert told("1e6 * sum by (a) (x) / (sum by (a) (y) > 0)") == {"a"}
    assert told("pointsman_ledger_lag_seconds") == {"job", "instance"}


def test_nothing_is_wrong_with_what_is_shipped() -> None:
    assert [str(finding) for finding in lint.findings()] == []


def test_the_command_fails_where_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lint.main() == 0
    monkeypatch.setattr(lint, "BOARDS", [replace(BOARD, about="")])
    assert lint.main() == 1
    assert "it does not say what it is for" in capsys.readouterr().out


def test_datasources_of_logs_and_traces_are_checked_by_their_own_rules() -> None:
    """A wrong LogQL or TraceQL in a panel is found as well as a wrong PromQL."""
    panel = replace(GRAPH, queries=(Query("{", "x", source=Source.LOKI),), links=())
    traces = replace(TABLE, queries=(Query("{", source=Source.TEMPO),), columns=())
    board = replace(BOARD, rows=(Row("Row", (panel, traces)),), sources=tuple(Source), variables=())
    assert found(as_json(board)) >= {"target-logql", "target-traceql"}
