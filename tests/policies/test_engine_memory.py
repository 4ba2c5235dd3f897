"""What models take, what fits, and who leaves for whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.engine_memory import (
    PROCESS_BYTES,
    ContextShape,
    Loaded,
    ModelShape,
    Room,
    Verdict,
    fitting_context_tokens,
    fitting_layers,
    memory_of,
    room_for,
    settled,
    token_bytes,
)

MIB = 1 << 20
# SmolLM2-135M-Instruct, Q4_1
SMALL = ModelShape(
    layer_bytes=(2_216_448,) * 30,
    other_bytes=30_083_328,
    key_numbers=(192,) * 30,
    value_numbers=(192,) * 30,
    heads=9,
    embedding_size=576,
    feed_forward_size=1536,
    vocabulary_size=49_152,
    trained_context_tokens=8192,
)


@pytest.mark.parametrize(
    ("context", "cells_mib", "compute_mib"),
    [
        (ContextShape(4, 2048), 180, 16.26),
        (ContextShape(4, 2048, unified=True), 45, 16.26),
        (ContextShape(1, 8192), 180, 21.7),
        (ContextShape(8, 4096, kv_type="q8_0", flash_attention=True), 382.5, 17.92),
        (ContextShape(4, 2048, 128), 180, 8.22),
        (ContextShape(4, 2048, flash_attention=False), 180, 47.13),
        (ContextShape(1, 8192, 2048, flash_attention=False), 180, 665.72),
    ],
)
def test_it_is_what_llama_cpp_says_it_took(context: ContextShape, cells_mib: float, compute_mib: float) -> None:
    """Compute and output buffers together, from its log."""
    memory = memory_of(SMALL, context)
    assert memory.cells_bytes == cells_mib * MIB
    assert memory.compute_bytes == pytest.approx(compute_mib * MIB, rel=0.15)


def test_cells_by_their_type() -> None:
    assert [token_bytes(SMALL, kind) for kind in ("f32", "f16", "q8_0", "q4_0")] == [46_080, 23_040, 12_240, 6_480]


def test_what_is_left_open_is_the_usual() -> None:
    assert settled(SMALL, ContextShape())[:2] == (4, 8192)
    assert settled(SMALL._replace(trained_context_tokens=512), ContextShape())[:2] == (4, 512)
    assert settled(SMALL._replace(trained_context_tokens=0), ContextShape(2, 99))[:2] == (2, 99)


def test_the_longest_context_that_fits() -> None:
    room = memory_of(SMALL, ContextShape(4, 2048)).total_bytes
    assert fitting_context_tokens(SMALL, ContextShape(4), room) == 2048
    assert fitting_context_tokens(SMALL, ContextShape(4), room - 1) == 2048 - 256
    assert fitting_context_tokens(SMALL, ContextShape(4), PROCESS_BYTES) == 0
    assert fitting_context_tokens(SMALL, ContextShape(1), 1 << 40) == 8192


def test_layers_go_to_a_device_from_the_last_on() -> None:
    context = ContextShape(4, 2048)
    assert fitting_layers(SMALL, context, 1 << 40) == 31
    assert fitting_layers(SMALL, context, 0) == 0
    each = 2_216_448 + 4 * 2048 * 768
    whole = memory_of(SMALL, context).compute_bytes
    assert fitting_layers(SMALL, context, whole + 10 * each) == 10
    assert fitting_layers(SMALL, context, whole + 30 * each) == 30


@given(st.integers(1, 64), st.integers(256, 1 << 17), st.sampled_from(["f16", "q8_0", "q4_0"]))
def test_more_never_takes_less(slots: int, context_tokens: int, kv_type: str) -> None:
    one = ContextShape(slots, context_tokens, kv_type=kv_type)
    less = memory_of(SMALL, one).total_bytes
    assert memory_of(SMALL, one._replace(slots=slots + 1)).total_bytes > less
    assert memory_of(SMALL, one._replace(context_tokens=context_tokens + 256)).total_bytes > less
    assert memory_of(SMALL, one._replace(unified=True)).total_bytes <= less


# --- who leaves ---


def test_those_idle_longest_leave_first_and_no_more_than_needed() -> None:
    loaded = [Loaded("a", 40, 3.0), Loaded("b", 30, 1.0), Loaded("c", 20, 2.0)]
    assert room_for(10, loaded, 100) == Room(Verdict.NOW)
    assert room_for(11, loaded, 100) == Room(Verdict.NOW, ("b",))
    assert room_for(50, loaded, 100) == Room(Verdict.NOW, ("b", "c"))
    assert room_for(100, loaded, None) == Room(Verdict.NOW)
    assert room_for(1, [Loaded("a", 2, 1.0), Loaded("b", 1, 0.0)], 2) == Room(Verdict.NOW, ("a",))


def test_what_works_is_waited_for_and_what_is_pinned_stays() -> None:
    busy, pinned, idle = Loaded("a", 50, 1.0, is_busy=True), Loaded("b", 30, 2.0, is_pinned=True), Loaded("c", 20, 3.0)
    assert room_for(20, [busy, pinned, idle], 100) == Room(Verdict.NOW, ("c",))
    assert room_for(21, [busy, pinned, idle], 100) == Room(Verdict.LATER)
    assert room_for(71, [busy, pinned, idle], 100) == Room(Verdict.NEVER)
    assert room_for(101, [], 100) == Room(Verdict.NEVER)


MODELS = st.lists(
    st.builds(Loaded, st.uuids().map(str), st.integers(1, 50), st.floats(0, 9), st.booleans(), st.booleans()),
    max_size=8,
    unique_by=lambda one: one.name,
)


@given(st.integers(1, 120), MODELS, st.integers(1, 120))
def test_nobody_leaves_in_vain_nor_while_he_works(needed: int, loaded: list[Loaded], budget: int) -> None:
    room = room_for(needed, loaded, budget)
    leaving = [one for one in loaded if one.name in room.unload]
    staying = sum(one.bytes for one in loaded) - sum(one.bytes for one in leaving)
    assert not any(one.is_busy or one.is_pinned for one in leaving)
    if room.verdict is Verdict.NOW:
        assert staying + needed <= budget
        assert all(staying + needed + one.bytes > budget for one in leaving)
    else:
        assert not leaving
        held = sum(one.bytes for one in loaded if one.is_pinned)
        assert (needed + held <= budget) == (room.verdict is Verdict.LATER)
