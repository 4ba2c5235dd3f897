from __future__ import annotations

from collections import Counter
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.signals import cache_telemetry, engine_telemetry, limit_telemetry, telemetry, vitals_telemetry
from gateway.signals.deltas import Deltas
from gateway.signals.exposition import render
from gateway.signals.merged_metrics import MergedMetrics
from gateway.signals.metrics import HistogramValue, Registry
from gateway.signals.pushes import LENGTH_BYTES, Push, framed, read_said
from gateway.signals.telemetry import OVERFLOW

Told = dict[str, dict[tuple[str, ...], float | HistogramValue]]


def on_the_wire(push: Push) -> Push:
    said = read_said(framed(push)[LENGTH_BYTES:])
    assert isinstance(said, Push)
    return said


def registry(seed: int) -> Registry:
    made = Registry()
    made.cells(telemetry.COST).at("openai", "a", "m", "input", "table").inc(seed * 3)
    made.cells(telemetry.TEAM_REQUESTS).at("platform", "ok").inc(seed)
    if seed == 2:
        made.cells(telemetry.TEAM_REQUESTS).at("other", "ok").inc(7)
    made.histograms(telemetry.OVERHEAD).at("r").observe(0.0007 * seed, f"{seed:032x}")
    made.histograms(vitals_telemetry.LOOP_LAG).at("0").observe(0.001)
    made.sample(telemetry.INFLIGHT, lambda: [(("r",), seed)])
    made.sample(telemetry.CIRCUIT_STATE, lambda: [(("a",), seed)])
    made.sample(telemetry.DEPLOYMENT_UP, lambda: [(("a",), seed == 1)])
    made.sample(vitals_telemetry.PROCESS_CPU, lambda: [(("0",), seed * 1_000_000_000)])
    made.sample(vitals_telemetry.PROCESS_START, lambda: [(("0",), 100.0 + seed)])
    made.cells(cache_telemetry.CACHE_LOOKUPS).at("exact", "hit").inc(seed)
    made.sample(cache_telemetry.CACHE_OBSERVED, lambda: [(("r",), 0.004 * seed)])
    made.sample(cache_telemetry.CACHE_ENTRIES, lambda: [(("redis",), 40)])
    made.sample(cache_telemetry.CACHE_UNSENT, lambda: [(("redis",), seed)])
    made.sample(engine_telemetry.LOCAL_UP, lambda: [(("llama",), seed == 1)])
    return made


def two_workers() -> MergedMetrics:
    merged = MergedMetrics(Registry())
    for seed in (1, 2):
        assert merged.take(f"connection {seed}", seed, on_the_wire(Deltas(registry(seed), seed).next()))
    return merged


def told(merged: MergedMetrics) -> Told:
    return {one.family.name: dict(one.values) for one in merged.finished(merged.copied())}


def test_counters_are_added_and_stay_whole() -> None:
    seen = told(two_workers())
    assert seen["pointsman_cost_usd_total"] == {("openai", "a", "m", "input", "table"): 9}
    assert seen["pointsman_team_requests_total"] == {("platform", "ok"): 3, ("other", "ok"): 7}
    assert seen["pointsman_cache_lookups_total"] == {("exact", "hit"): 3}


def test_histograms_are_added_bucket_by_bucket_with_their_exemplars() -> None:
    value = told(two_workers())["pointsman_overhead_seconds"]["r",]
    assert isinstance(value, HistogramValue)
    assert value.counts[:4] == [0, 1, 1, 0]
    assert round(value.sum, 9) == 0.0021
    assert {trace for trace, _ in value.exemplars.values()} == {f"{1:032x}", f"{2:032x}"}


def test_gauges_are_added_unless_adding_them_says_nothing() -> None:
    seen = told(two_workers())
    assert seen["pointsman_inflight_requests"] == {("r",): 3}
    assert seen["pointsman_circuit_state"] == {("a",): 2}
    assert seen["pointsman_deployment_up"] == {("a",): 0}
    assert seen["pointsman_local_up"] == {("llama",): 0}
    assert seen["pointsman_cache_false_hits_observed_max"] == {("r",): 0.008}
    assert seen["pointsman_cache_entries"] == {("redis",): 40}
    assert seen["pointsman_cache_unsent"] == {("redis",): 3}


ENGINE_GAUGES = {
    "local_up": 1,
    "local_cold_start_seconds": 5,
    "local_memory_bytes": 6,
    "local_calls": 6,
    "local_slots": 6,
    "local_slots_busy": 6,
    "local_queue": 6,
    "local_waiting_tokens": 6,
    "local_kv_cells": 6,
    "local_kv_used_ratio": 5,
    "local_step_seconds": 5,
    "local_step_python_seconds": 5,
    "local_longest_gap_seconds": 5,
    "local_tokens_per_second": 6,
}
"""What 1 of one worker's engine and 5 of another's are together: what there is of all, and the worst where adding up
says nothing.
"""


def merged_of(*values: int, shared: bool = False) -> Told:
    """What workers are together of which each tells one of these values, of everything an engine has."""
    merged, gauges = MergedMetrics(Registry()), [one for one in vars(engine_telemetry).values() if is_gauge(one)]
    for slot, value in enumerate(values):
        registry = Registry()
        for family in (*gauges, telemetry.QUEUE_DEPTH):
            labels = tuple("here" for _ in family.labels)
            registry.sample(family, partial(list, [(labels, value)]), partial(tuple, [labels] if shared else []))
        assert merged.take(slot, slot, on_the_wire(Deltas(registry, slot).next()))
    return {name: found for name, found in told(merged).items() if "local" in name or "queue" in name}


def is_gauge(named: object) -> bool:
    return isinstance(named, telemetry.Family) and named.kind is telemetry.Kind.GAUGE


def test_each_worker_has_engines_of_its_own_and_all_of_them_are_told_together() -> None:
    seen = {name.removeprefix("pointsman_"): next(iter(found.values())) for name, found in merged_of(1, 5).items()}
    assert seen.pop("queue_depth") == 6
    assert seen == ENGINE_GAUGES


def test_an_engine_elsewhere_is_one_however_many_workers_see_it() -> None:
    for values in ((4, 4, 4), (4, 3, 0), (0, 3, 4)):
        seen = merged_of(*values, shared=True)
        assert seen["pointsman_local_slots"] == seen["pointsman_queue_depth"] == {("here",): 4}
        assert seen["pointsman_local_up"] == {("here",): min(values)}


def test_engines_here_and_elsewhere_stand_side_by_side() -> None:
    merged = MergedMetrics(Registry())
    for slot in range(2):
        registry = Registry()
        registry.sample(engine_telemetry.LOCAL_SLOTS, lambda: [(("here",), 4), (("far",), 8)], lambda: [("far",)])
        assert merged.take(slot, slot, on_the_wire(Deltas(registry, slot).next()))
    assert told(merged)["pointsman_local_slots"] == {("here",): 8, ("far",): 8}


def test_the_share_that_is_refused_at_the_door_is_no_sum() -> None:
    merged = MergedMetrics(Registry())
    for slot, refused in enumerate((0.75, 0.5)):
        registry = Registry()
        registry.sample(limit_telemetry.SHEDDING, partial(list, [((), refused)]))
        assert merged.take(slot, slot, on_the_wire(Deltas(registry, slot).next()))
    assert told(merged)["pointsman_shedding_ratio"] == {(): 0.75}


def test_the_process_s_own_numbers_are_told_apart_by_the_slot_that_pushed_them() -> None:
    seen = told(two_workers())
    assert seen["process_start_time_seconds"] == {("1",): 101.0, ("2",): 102.0}
    assert seen["process_cpu_seconds_total"] == {("1",): 1_000_000_000, ("2",): 2_000_000_000}
    assert set(seen["pointsman_event_loop_lag_seconds"]) == {("1",), ("2",)}


def test_gauges_vanish_with_their_connection_and_counters_stay() -> None:
    merged = two_workers()
    merged.forget("connection 2")
    seen = told(merged)
    assert seen["pointsman_inflight_requests"] == {("r",): 1}
    assert seen["pointsman_team_requests_total"]["other", "ok"] == 7
    merged.forget("connection 1")
    assert "pointsman_inflight_requests" not in told(merged)


def test_a_family_is_told_of_once_though_the_supervisor_has_it_as_well() -> None:
    merged = two_workers()
    merged.own.sample(vitals_telemetry.PROCESS_CPU, lambda: [(("supervisor",), 5)])
    merged.own.histograms(vitals_telemetry.LOOP_LAG).at("supervisor").observe(0.2)
    lines = render(merged.finished(merged.copied())).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert 'process_cpu_seconds_total{worker="supervisor"} 0.000000005' in lines
    assert 'process_cpu_seconds_total{worker="1"} 1.000000000' in lines


def test_workers_have_one_budget_of_series() -> None:
    merged = MergedMetrics(Registry(series_max=10))
    for slot in range(2):
        worker = Registry()
        for number in range(20):
            worker.cells(telemetry.TEAM_REQUESTS).at(f"{slot}-{number}", "ok").inc()
        merged.take(slot, slot, on_the_wire(Deltas(worker, slot).next()))
    teams = told(merged)["pointsman_team_requests_total"]
    assert len(teams) == 11
    assert teams[OVERFLOW, OVERFLOW] == 30


TEAM, WAIT = telemetry.TEAM_REQUESTS, telemetry.OVERHEAD
SLOTS = range(3)
slots = st.sampled_from(SLOTS)


class Run:
    """One run of a worker: what its calls came to, and what of that was counted."""

    def __init__(self, slot: int, epoch: int) -> None:
        self.slot = slot
        self.epoch = epoch
        self.connection = (epoch, 0)
        self.registry = Registry()
        self.deltas = Deltas(self.registry, epoch, series_max=2)
        self.happened: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.last_counted = 0


class WorkersComeAndGo(RuleBasedStateMachine):
    """Workers count, push, lose answers, reconnect, die and start again; pushes come twice, late and out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.merged = MergedMetrics(Registry())
        self.all_runs: list[Run] = []
        self.runs = {slot: self.started(slot) for slot in SLOTS}
        self.sent: list[tuple[Run, tuple[int, int], Push]] = []
        self.before: Counter[str] = Counter()

    def started(self, slot: int) -> Run:
        self.all_runs.append(Run(slot, len(self.all_runs) + 1))
        return self.all_runs[-1]

    @rule(slot=slots, team=st.sampled_from("abcde"), count=st.integers(1, 10**20))
    def happen(self, slot: int, team: str, count: int) -> None:
        run = self.runs[slot]
        run.registry.cells(TEAM).at(team, "ok").inc(count)
        run.registry.histograms(WAIT).at(team).observe(0.25)
        run.happened[team] += count

    @rule(slot=slots, arrives=st.booleans(), is_heard=st.booleans())
    def push(self, slot: int, *, arrives: bool, is_heard: bool) -> None:
        run = self.runs[slot]
        push = on_the_wire(run.deltas.next())
        self.sent.append((run, run.connection, push))
        if arrives:
            self.arrive(run, run.connection, push)
            if is_heard:
                run.deltas.heard(push.number)

    @rule(data=st.data())
    def arrive_late_or_again(self, data: st.DataObject) -> None:
        """Whatever was on its way, from runs that are over as well. None is cut before the one before it was heard."""
        if self.sent:
            run, connection, push = data.draw(st.sampled_from(self.sent))
            self.arrive(run, connection, push)
            if connection != self.runs[run.slot].connection:
                self.merged.forget(connection)

    @rule(slot=slots)
    def reconnect(self, slot: int) -> None:
        run = self.runs[slot]
        self.merged.forget(run.connection)
        run.connection = (run.epoch, run.connection[1] + 1)

    @rule(slot=slots)
    def die_and_start_again(self, slot: int) -> None:
        self.merged.forget(self.runs[slot].connection)
        self.runs[slot] = self.started(slot)

    def arrive(self, run: Run, connection: tuple[int, int], push: Push) -> None:
        is_new = self.merged.take(connection, run.slot, push)
        assert is_new == (push.number > run.last_counted)
        if is_new:
            assert push.number == run.last_counted + 1
            run.last_counted = push.number
            for one in push.counters:
                for growth in one.grown:
                    run.counted[growth.labels[0]] += growth.by

    @invariant()
    def each_push_counts_once_and_nothing_goes_back(self) -> None:
        children = self.merged.own.cells(TEAM).children
        now = Counter({labels[0]: cell.value for labels, cell in children.items()})
        assert +now == +sum((run.counted for run in self.all_runs), Counter())
        assert all(now[team] >= count for team, count in self.before.items())
        assert all(run.counted <= run.happened for run in self.all_runs)
        self.before = now

    def teardown(self) -> None:
        """A worker that lives loses nothing, whatever became of its pushes before."""
        for run in self.runs.values():
            for _ in range(2 + 40 * len(run.happened)):
                push = on_the_wire(run.deltas.next())
                self.arrive(run, run.connection, push)
                run.deltas.heard(push.number)
            assert +run.counted == +run.happened
        self.each_push_counts_once_and_nothing_goes_back()
        waits = self.merged.own.histograms(WAIT).children.values()
        assert sum(child.sum for child in waits) == 0.25 * sum(sum(child.counts) for child in waits)


WorkersComeAndGo.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkersComeAndGo = WorkersComeAndGo.TestCase
