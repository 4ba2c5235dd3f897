from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.batching import (
    AGING_S,
    CAUTIOUS_CHUNK_TOKENS,
    LEAST_CHUNK_TOKENS,
    Budget,
    Candidate,
    Chunk,
    Pace,
    Reader,
    Step,
    Turn,
    aged,
    next_candidate,
    next_turn,
    part_of_gap_s,
    plan_step,
)
from tests.policies.engine_world import EngineWorld, Request

PACE = Pace(read_tokens_per_s=1000.0, write_step_s=0.05)


def candidate(number: int, *, priority: int = 1, deadline_s: float = 100.0, is_held: bool = False) -> Candidate:
    return Candidate(priority, float(number), number, deadline_s, is_held)


@st.composite
def engines(draw: st.DrawFn) -> tuple[list[Reader], list[int], Budget, Pace]:
    slots = draw(st.permutations(range(8)))
    writing = draw(st.integers(0, 8))
    readers = [
        Reader(
            slot, start := draw(st.integers(0, 3000)), start + draw(st.integers(1, 3000)), draw(st.integers(0, 3)), n
        )
        for n, slot in enumerate(slots[writing : writing + draw(st.integers(0, 8))])
    ]
    grid_tokens = draw(st.sampled_from([0, 64]))
    batch_tokens = draw(st.integers(grid_tokens + 9, 2048))
    budget = Budget(batch_tokens, draw(st.floats(0.0, 1.0)), grid_tokens, draw(st.booleans()))
    return readers, slots[:writing], budget, Pace(draw(st.floats(0.0, 1e5)), draw(st.floats(0.0, 1.0)))


@given(engines(), st.integers(0, 3))
def test_a_step_is_within_its_budget_and_never_idle(
    engine: tuple[list[Reader], list[int], Budget, Pace], turn: int
) -> None:
    readers, writers, budget, pace = engine
    step = plan_step(readers, writers, budget, pace, turn)
    by_slot = {reader.slot: reader for reader in readers}
    read = sum(chunk.end - chunk.start for chunk in step.chunks)
    assert step.writers == tuple(writers)
    assert read + len(writers) * budget.is_mixed <= budget.batch_tokens
    assert bool(step.chunks) == bool(readers)
    assert len({chunk.slot for chunk in step.chunks}) == len(step.chunks)
    for chunk in step.chunks:
        reader = by_slot[chunk.slot]
        assert reader.start == chunk.start < chunk.end <= reader.end
        if budget.grid_tokens:
            assert chunk.end == reader.end or chunk.end % budget.grid_tokens == 0
            assert chunk.end - chunk.start <= budget.grid_tokens


@given(engines(), st.integers(0, 3))
def test_writers_are_not_kept_waiting_longer_than_told(
    engine: tuple[list[Reader], list[int], Budget, Pace], turn: int
) -> None:
    readers, writers, budget, pace = engine
    step = plan_step(readers, writers, budget, pace, turn)
    read = sum(chunk.end - chunk.start for chunk in step.chunks)
    least = max(LEAST_CHUNK_TOKENS, budget.grid_tokens)
    if writers and pace.read_tokens_per_s > 0.0 and read > least:
        assert pace.write_step_s + read / pace.read_tokens_per_s <= budget.max_decode_gap_s + 1e-9


@given(engines(), st.integers(0, 3))
def test_no_reader_is_passed_over_by_one_of_lower_priority(
    engine: tuple[list[Reader], list[int], Budget, Pace], turn: int
) -> None:
    readers, writers, budget, pace = engine
    step = plan_step(readers, writers, budget, pace, turn)
    served = {chunk.slot for chunk in step.chunks}
    first = max(reader.priority for reader in readers) if readers else 0
    assert not readers or any(reader.slot in served for reader in readers if reader.priority == first)


def test_a_prompt_alone_gets_the_whole_batch() -> None:
    assert plan_step([Reader(3, 0, 2000, 1, 1)], [], Budget(512, 0.25), PACE) == Step((Chunk(3, 0, 512),), ())


def test_beside_writers_a_chunk_takes_the_time_that_the_gap_leaves() -> None:
    assert plan_step([Reader(3, 0, 2000, 1, 1)], [0, 1], Budget(512, 0.25), PACE).chunks == (Chunk(3, 0, 200),)


def test_an_unknown_pace_is_met_with_caution() -> None:
    chunk = Chunk(3, 0, CAUTIOUS_CHUNK_TOKENS)
    assert plan_step([Reader(3, 0, 2000, 1, 1)], [0], Budget(512, 0.25), Pace()).chunks == (chunk,)


def test_a_gap_that_cannot_be_kept_still_lets_prompts_move() -> None:
    step = plan_step([Reader(3, 0, 2000, 1, 1)], [0], Budget(512, 0.01), PACE)
    assert step.chunks == (Chunk(3, 0, LEAST_CHUNK_TOKENS),)


def test_ends_of_prompts_share_a_batch() -> None:
    readers = [Reader(0, 500, 520, 1, 1), Reader(1, 0, 40, 1, 2), Reader(2, 64, 900, 1, 3)]
    step = plan_step(readers, [], Budget(256, 0.25), PACE)
    assert step.chunks == (Chunk(0, 500, 520), Chunk(1, 0, 40), Chunk(2, 64, 260))


def test_crumbs_are_left_for_the_next_step() -> None:
    readers = [Reader(0, 0, 500, 1, 1), Reader(1, 0, 900, 1, 2), Reader(2, 0, 10, 1, 3)]
    assert plan_step(readers, [], Budget(512, 0.25), PACE).chunks == (Chunk(0, 0, 500), Chunk(2, 0, 10))


def test_steps_take_turns_between_the_first_and_the_shortest() -> None:
    readers = [Reader(0, 0, 5000, 1, 1), Reader(1, 0, 100, 1, 2)]
    budget = Budget(128, 0.25)
    assert plan_step(readers, [], budget, PACE, turn=0).chunks == (Chunk(0, 0, 128),)
    assert plan_step(readers, [], budget, PACE, turn=1).chunks == (Chunk(1, 0, 100),)


def test_writers_take_room_only_of_a_batch_that_they_share() -> None:
    reader = Reader(9, 0, 600, 1, 1)
    assert plan_step([reader], range(4), Budget(512, 9.0), PACE).chunks == (Chunk(9, 0, 508),)
    assert plan_step([reader], range(4), Budget(512, 9.0, is_mixed=False), PACE).chunks == (Chunk(9, 0, 512),)


@pytest.mark.parametrize(("start", "end", "border"), [(0, 200, 64), (64, 200, 128), (70, 200, 128), (128, 130, 130)])
def test_on_a_grid_chunks_end_at_its_lines_or_at_the_prompts_end(start: int, end: int, border: int) -> None:
    step = plan_step([Reader(0, start, end, 1, 1)], [], Budget(512, 0.25, grid_tokens=64), PACE)
    assert step.chunks == (Chunk(0, start, border),)


@given(st.integers(1, 4000), st.lists(engines(), max_size=4))
def test_on_a_grid_a_prompt_is_cut_in_the_same_places_whoever_else_is_there(
    end: int, others: list[tuple[list[Reader], list[int], Budget, Pace]]
) -> None:
    borders = [0]
    for turn in range(200):
        there, writers, _, pace = others[turn % len(others)] if others else ([], [], None, Pace())
        readers = [reader._replace(slot=reader.slot + 1) for reader in there]
        budget = Budget(80, 0.1, 64)
        mine = Reader(0, borders[-1], end, aged(1, turn), 1)
        chunks = plan_step([mine, *readers], writers, budget, pace, turn).chunks
        borders += [chunk.end for chunk in chunks if chunk.slot == 0]
        if borders[-1] == end:
            break
    assert borders[-1] == end
    assert borders == [*range(0, end, 64), end]


def test_the_first_by_priority_then_by_fairness_then_by_coming_is_next() -> None:
    waiting = [candidate(1), candidate(2, priority=3), candidate(3, priority=3)]
    assert next_candidate(waiting, 0.0) == waiting[1]
    assert next_candidate(waiting[:1], 0.0) == waiting[0]
    assert next_candidate([], 0.0) is None


def test_nobody_gets_a_slot_at_or_after_its_deadline() -> None:
    assert next_candidate([candidate(1, deadline_s=5.0)], 5.0) is None
    assert next_candidate([candidate(1, deadline_s=5.0)], 4.9) is not None


def test_who_is_held_keeps_a_slot_for_itself() -> None:
    waiting = [candidate(1, is_held=True), candidate(2)]
    assert next_candidate(waiting, 0.0, free_slots=1) is None
    assert next_candidate(waiting, 0.0, free_slots=2) == waiting[1]


def test_who_is_held_behind_costs_nobody_a_slot() -> None:
    waiting = [candidate(1), candidate(2, is_held=True)]
    assert next_candidate(waiting, 0.0, free_slots=1) == waiting[0]


@given(st.integers(0, 5), st.integers(0, 5), st.floats(0.0, 1e6))
def test_whoever_waits_long_enough_goes_before_any_newcomer(low: int, high: int, waited_s: float) -> None:
    assert aged(low, waited_s) >= low
    assert aged(low, waited_s + (high + 1) * AGING_S) > aged(high, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 1), st.sampled_from([0, 64]))
def test_every_run_ends_and_no_slot_is_given_twice(seed: int, slots: int, mixed: int, grid_tokens: int) -> None:
    rng = Random(seed)
    world = EngineWorld(slots, Budget(160, 0.1, grid_tokens, is_mixed=bool(mixed)))
    requests = [
        Request(
            arrives_s=rng.uniform(0, 10),
            prompt=tuple([7] * rng.choice([0, 70, 300]) + [rng.randrange(9) for _ in range(rng.randint(1, 600))]),
            writes=rng.randint(1, 40),
            priority=rng.randint(0, 3),
            patience_s=rng.choice([0.5, 1e9]),
            cancelled_s=rng.choice([1e9, rng.uniform(0, 15)]),
        )
        for _ in range(40)
    ]
    world.serve(requests)
    assert sorted(world.endings) == list(range(len(requests)))
    assert not world.busy
    for number, ending in world.endings.items():
        assert ending in {"written", "too late", "cancelled"}
        assert ending != "too late" or requests[number].patience_s < 1.0
        assert ending != "cancelled" or requests[number].cancelled_s < 1e9


def test_a_stream_of_urgent_prompts_starves_nobody() -> None:
    world = EngineWorld(2, Budget(128, 0.1))
    urgent = [Request(arrives_s=index * 0.2, prompt=(index,) * 200, writes=10, priority=3) for index in range(500)]
    world.serve([Request(arrives_s=1.0, prompt=(1,) * 300, writes=5, priority=0), *urgent])
    assert world.began_s[0] < 1.0 + 5 * AGING_S


def test_short_prompts_do_not_wait_until_a_long_one_is_read() -> None:
    world = EngineWorld(4, Budget(256, 0.1))
    world.serve([
        Request(arrives_s=0.0, prompt=(1,) * 30, writes=100),
        Request(arrives_s=0.1, prompt=(2,) * 8000, writes=5),
        Request(arrives_s=0.2, prompt=(3,) * 60, writes=5),
    ])  # fmt: skip
    assert world.first_token_s[2] < 0.8
    assert world.first_token_s[1] > 5.0


ADAPTERS = st.sets(st.sampled_from([None, "a", "b", "c", "d"]), min_size=1)


@given(ADAPTERS, st.floats(0.0, 0.2), st.floats(0.01, 1.0), st.floats(0.001, 0.1), st.integers(0, 2**30))
def test_every_adapter_has_its_turn_within_the_gap(
    adapters: set[str | None], change_s: float, max_gap_s: float, step_s: float, seed: int
) -> None:
    """Whatever others ask for, nobody waits longer than a turn of each of them, and the step that it ends with."""
    rng, now, turn = Random(seed), 0.0, Turn(None, 0.0)
    served_s = dict.fromkeys(adapters, 0.0)
    longest_s = len(adapters) * (part_of_gap_s(max_gap_s, len(adapters)) + step_s) + 1e-9
    for _ in range(200):
        # Those that wait stay; the others come and go.
        waiting = {one: at for one, at in served_s.items() if one != turn.adapter or rng.random() < 0.9} or served_s
        turn = next_turn(waiting, turn, now, change_s, max_gap_s)
        assert turn.adapter in waiting
        now += step_s * rng.random()
        served_s[turn.adapter] = now
        assert now - min(served_s.values()) <= longest_s


def test_a_turn_lasts_as_long_as_it_was_worth_the_change() -> None:
    turn = next_turn({None: 0.0, "poet": -1.0}, Turn(None, 0.0), 5.0, 0.01, 1.0)
    assert turn == Turn("poet", 5.0)
    assert next_turn({None: 5.0, "poet": 5.0}, turn, 5.0 + 7 * 0.01, 0.01, 1.0) == turn
    assert next_turn({None: 5.0, "poet": 5.0}, turn, 5.0 + 9 * 0.01, 0.01, 1.0).adapter is None
    assert next_turn({None: 5.0, "poet": 5.0}, turn, 5.26, 1.0, 1.0).adapter is None
    assert next_turn({"poet": 5.0}, turn, 99.0, 0.01, 1.0) == turn
    assert next_turn({None: 5.0}, turn, 5.0, 0.01, 1.0) == Turn(None, 5.0)


def test_a_prompt_is_read_in_smaller_parts_where_other_adapters_wait() -> None:
    alone = plan_step([Reader(3, 0, 2000, 1, 1)], [0], Budget(512, 0.25), PACE)
    shared = plan_step([Reader(3, 0, 2000, 1, 1)], [], Budget(512, 0.4, adapters=2), PACE)
    assert (alone.chunks, shared.chunks) == ((Chunk(3, 0, 200),), (Chunk(3, 0, 50),))
