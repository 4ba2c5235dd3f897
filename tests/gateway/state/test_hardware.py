from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.hardware import ENGINE_TELLS_WITHIN_NS, HardwareTimes, Timed
from policies.hardware_cost import NS_PER_HOUR, NS_PER_S, Hardware
from policies.vocabulary import Deployment

USD = 10**9
RENTED = Hardware("box", 2000, 4 * USD)
ENGINE = Hardware("engine", 1000, USD, is_engine=True)
A = Deployment("a", "vllm", "openai", "m", hardware=RENTED)
B = Deployment("b", "vllm", "openai", "m", hardware=RENTED)
OWN = Deployment("own", "local", "llama_cpp", "m", hardware=ENGINE)
ELSEWHERE = Deployment("gpt", "openai", "openai", "m")


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)


def following(*deployments: Deployment, workers: int = 1, nodes: int = 1) -> tuple[HardwareTimes, Clock]:
    clock = Clock()
    times = HardwareTimes(workers, nodes, clock)
    times.take_over(deployments)
    return times, clock


def begun(times: HardwareTimes, deployment: Deployment) -> Timed:
    timed = times.begin(deployment)
    assert timed is not None
    return timed


def test_two_at_once_have_half_each_and_the_rest_is_idle() -> None:
    times, clock = following(A)
    first = begun(times, A)
    clock.sleep(2)
    second = begun(times, A)
    clock.sleep(2)
    assert first.end(None) == (2 + 1) * 2 * 10**6  # on two GPUs
    clock.sleep(1)
    assert second.end(None) == (1 + 1) * 2 * 10**6
    clock.sleep(5)
    spent = times.spent()["a"]
    assert (spent.busy_ns, spent.idle_ns) == (2 * 5 * NS_PER_S, 2 * 5 * NS_PER_S)
    assert spent.busy_nanousd == spent.idle_nanousd == 4 * USD * 5 // 3600


def test_an_end_counts_once() -> None:
    times, clock = following(A)
    timed = begun(times, A)
    clock.sleep(1)
    assert timed.end(None) == 2 * 10**6
    assert timed.end(None) is None
    clock.sleep(1)
    assert times.spent()["a"].busy_ns == 2 * NS_PER_S


def test_deployments_of_one_hardware_share_its_time_and_its_waiting() -> None:
    times, clock = following(A, B)
    one, other = begun(times, A), begun(times, B)
    clock.sleep(4)
    one.end(None)
    clock.sleep(4)
    other.end(None)
    clock.sleep(2)
    spent = times.spent()
    assert [spent[name].busy_ns // NS_PER_S for name in "ab"] == [2 * 2, 2 * 6]
    assert [spent[name].idle_ns // NS_PER_S for name in "ab"] == [2, 2]


def test_what_has_no_hardware_of_ours_is_not_timed() -> None:
    times, _ = following(A, ELSEWHERE)
    assert times.begin(ELSEWHERE) is None
    assert list(times.spent()) == ["a"]


def test_our_own_engine_says_what_was_work() -> None:
    times, clock = following(OWN)
    worked_s: list[float | None] = [None]
    times.watch_engines(lambda provider: worked_s[0] if provider == "local" else None)
    timed = begun(times, OWN)
    clock.sleep(10)
    assert timed.end(2.5) == 2_500_000
    assert begun(times, OWN).end(None) is None
    worked_s[0] = 3.0
    spent = times.spent()["own"]
    assert spent.busy_ns == 3 * NS_PER_S
    assert spent.idle_ns == 7 * NS_PER_S - ENGINE_TELLS_WITHIN_NS
    worked_s[0] = 0.5  # another worker
    clock.sleep(10)
    assert times.spent()["own"].busy_ns == 3.5 * NS_PER_S


def test_an_engine_cannot_have_worked_longer_than_there_was_time() -> None:
    times, clock = following(OWN)
    times.watch_engines(lambda _: 1e7)
    clock.sleep(10)
    spent = times.spent()["own"]
    assert (spent.busy_ns, spent.idle_ns) == (10 * NS_PER_S, 0)


@pytest.mark.parametrize(("deployment", "part"), [(A, 6), (OWN, 3)])
def test_workers_and_nodes_have_equal_parts_of_what_they_share(deployment: Deployment, part: int) -> None:
    """An engine of our own is shared by the workers of its node alone."""
    times, clock = following(deployment, workers=3, nodes=2)
    clock.sleep(3601)
    spent = times.spent()[deployment.name]
    hardware = deployment.hardware
    assert hardware is not None
    waited_ns = 3601 * NS_PER_S - (ENGINE_TELLS_WITHIN_NS if hardware.is_engine else 0)
    assert spent.idle_ns == waited_ns * hardware.milligpus // 1000 // part
    assert spent.idle_nanousd == (hardware.nanousd_per_hour or 0) * waited_ns // NS_PER_HOUR // part
    timed = begun(times, deployment)
    clock.sleep(6)
    assert timed.end(6.0) == 6 * 10**6 * hardware.milligpus // 1000 // part


def test_another_price_holds_from_the_reload_on() -> None:
    times, clock = following(A)
    clock.sleep(3600)
    times.take_over([replace(A, hardware=RENTED._replace(nanousd_per_hour=USD))])
    clock.sleep(3600)
    assert times.spent()["a"].idle_nanousd == 5 * USD
    times.take_over([])
    clock.sleep(3600)
    assert times.spent()["a"].idle_nanousd == 5 * USD
    times.take_over([A])
    clock.sleep(3600)
    assert times.spent()["a"].idle_nanousd == 9 * USD


def test_hardware_without_a_price_has_time_and_no_cost() -> None:
    times, clock = following(replace(A, hardware=RENTED._replace(nanousd_per_hour=None)))
    clock.sleep(1)
    spent = times.spent()["a"]
    assert (spent.idle_ns, spent.busy_nanousd, spent.idle_nanousd) == (2 * NS_PER_S, None, None)


steps = st.lists(
    st.tuples(st.sampled_from(["begin a", "begin b", "end", "look", "reload"]), st.integers(0, 10**10)), max_size=60
)


@given(steps)
def test_busy_and_idle_are_all_of_the_time_and_never_shrink(history: list[tuple[str, int]]) -> None:
    times, clock = following(A, B)
    began_ns, under_way, had_us, before = clock.now_ns, [], 0, {"a": (0, 0), "b": (0, 0)}
    for step, passes_ns in [*history, *[("end", 5)] * len(history), ("look", 0)]:
        clock.now_ns += passes_ns
        if step.startswith("begin"):
            under_way.append(begun(times, A if step[-1] == "a" else B))
        elif step == "end" and under_way:
            had_us += under_way.pop(0).end(None) or 0
        elif step == "reload":
            times.take_over([A, B])
        spent = times.spent()
        told = {name: (one.busy_ns, one.idle_ns) for name, one in spent.items()}
        assert all(now >= then for name in told for now, then in zip(told[name], before[name], strict=True))
        before = told
        wall_ns = (clock.now_ns - began_ns) * 2
        assert wall_ns - 2 * len(history) <= sum(map(sum, told.values())) <= wall_ns
    busy_ns = sum(busy for busy, _ in before.values())
    assert abs(busy_ns - had_us * 1000) <= 1000 * (len(history) + 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 10**9)), max_size=60))
def test_workers_together_come_to_all_of_the_time_and_not_to_more(history: list[tuple[int, bool, int]]) -> None:
    """Each sees its own calls alone, so that some of what is one's work may be another's waiting."""
    clock = Clock()
    workers = [HardwareTimes(3, 1, clock) for _ in range(3)]
    for worker in workers:
        worker.take_over([A])
    under_way: list[list[Timed]] = [[], [], []]
    had_us = 0
    for number, begins, passes_ns in history:
        clock.now_ns += passes_ns
        if begins:
            under_way[number].append(begun(workers[number], A))
        elif under_way[number]:
            had_us += under_way[number].pop().end(None) or 0
    for timed in (*under_way[0], *under_way[1], *under_way[2]):
        had_us += timed.end(None) or 0
    spent = [worker.spent()["a"] for worker in workers]
    wall_ns = (clock.now_ns - 10**12) * 2
    told_ns = sum(one.busy_ns + one.idle_ns for one in spent)
    assert wall_ns - 2 * len(history) - 6 <= told_ns <= wall_ns
    assert abs(sum(one.busy_ns for one in spent) - had_us * 1000) <= 1000 * (len(history) + 1)
    cost = sum((one.busy_nanousd or 0) + (one.idle_nanousd or 0) for one in spent)
    assert abs(cost - wall_ns // 2 * 4 * USD // NS_PER_HOUR) <= 6 + len(history)
