"""What is recommended fits, and is the most of what counts: layers on the GPU, then callers, then context."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.engine_advice import (
    GPU_RESERVE_BYTES,
    GPU_SHARE,
    RAM_SHARE,
    Advice,
    Means,
    advise,
    threads_for,
    usable_gpu_bytes,
)
from policies.engine_memory import ContextShape, ModelShape, memory_of

GIB = 1 << 30
MIB = 1 << 20


def llama(layers: int = 32, layer_bytes: int = 140 * MIB, trained: int = 131_072) -> ModelShape:
    """About an 8B model of four bits: 128 KiB of cells a token."""
    return ModelShape(
        layer_bytes=(layer_bytes,) * layers,
        other_bytes=700 * MIB,
        key_numbers=(1024,) * layers,
        value_numbers=(1024,) * layers,
        heads=32,
        embedding_size=4096,
        feed_forward_size=14_336,
        vocabulary_size=128_256,
        trained_context_tokens=trained,
    )


def taken_bytes(model: ModelShape, advice: Advice) -> int:
    context = ContextShape(advice.slots, advice.context_tokens, advice.batch_tokens, advice.kv_type)
    memory = memory_of(model, context)
    return memory.total_bytes - memory.process_bytes


def test_a_large_card_takes_all_layers_and_the_output_many_callers_and_long_contexts() -> None:
    advice = advise(llama(), Means(120 * GIB, (79 * GIB,), 16))
    assert (advice.layers, advice.slots, advice.kv_type) == (33, 32, "f16")
    assert advice.context_tokens == 16_384
    assert advice.threads == 4
    assert advice.needed_bytes == taken_bytes(llama(), advice)


def test_a_middling_card_takes_fewer_callers() -> None:
    advice = advise(llama(), Means(60 * GIB, (12 * GIB,), 8))
    assert (advice.layers, advice.slots, advice.context_tokens) == (33, 4, 8192)


def test_cells_are_halved_before_a_layer_is_left_behind() -> None:
    advice = advise(llama(), Means(60 * GIB, (10 * GIB,), 8))
    assert (advice.layers, advice.slots, advice.kv_type) == (33, 4, "q8_0")
    assert "q8_0" in advice.notes[0]


def test_of_a_small_card_as_many_layers_as_fit() -> None:
    advice = advise(llama(), Means(60 * GIB, (6 * GIB,), 8))
    assert 0 < advice.layers < 33
    assert advice.notes[0].startswith(f"{advice.layers} of 33 layers fit")
    assert advice.threads == 7


def test_two_cards_count_together() -> None:
    alone, both = (advise(llama(), Means(60 * GIB, cards, 8)) for cards in ((12 * GIB,), (12 * GIB, 12 * GIB)))
    assert (both.layers, both.slots) == (33, 16)
    assert both.slots > alone.slots


def test_without_a_gpu_the_cores_decide_on_callers_and_memory_on_context() -> None:
    few, many = (advise(llama(), Means(24 * GIB, (), cores)) for cores in (2, 16))
    assert (few.layers, few.slots, few.context_tokens, few.threads) == (0, 4, 8192, 1)
    assert (many.slots, many.threads) == (8, 15)


def test_of_little_memory_one_caller_has_all_of_it() -> None:
    advice = advise(llama(), Means(8 * GIB, (), 4))
    assert advice.fits
    assert advice.slots == 1
    assert taken_bytes(llama(), advice) <= 8 * GIB


def test_what_does_not_fit_at_all_is_said() -> None:
    advice = advise(llama(), Means(2 * GIB, (GIB,), 4))
    assert not advice.fits
    assert "does not fit" in advice.notes[0]


def test_a_model_of_short_texts_is_not_given_long_ones() -> None:
    assert advise(llama(trained=2048), Means(120 * GIB, (79 * GIB,), 16)).context_tokens == 2048


def test_one_core_still_computes() -> None:
    assert [threads_for(cores) for cores in (0.5, 1, 2, 2.5, 16)] == [1, 1, 1, 1, 15]


def test_a_card_without_room_for_the_drivers_own_counts_for_nothing() -> None:
    assert usable_gpu_bytes([GPU_RESERVE_BYTES // 2]) == 0


@given(
    layers=st.integers(1, 80),
    layer_bytes=st.integers(1, 2000).map(lambda mib: mib * MIB),
    trained=st.sampled_from([512, 4096, 32_768, 131_072]),
    ram=st.integers(1, 256).map(lambda gib: gib * GIB),
    cards=st.lists(st.integers(1, 80).map(lambda gib: gib * GIB), max_size=4).map(tuple),
    cores=st.floats(0.5, 128),
)
def test_what_is_recommended_fits(  # noqa: PLR0917 - what a machine and a model are
    layers: int, layer_bytes: int, trained: int, ram: int, cards: tuple[int, ...], cores: float
) -> None:
    model = llama(layers, layer_bytes, trained)
    advice = advise(model, Means(ram, cards, cores))
    assert advice.threads >= 1
    assert 0 <= advice.layers <= layers + 1
    if not cards:
        assert advice.layers == 0
    if advice.fits:
        gpu = sum(card * GPU_SHARE for card in cards)
        room = gpu if advice.layers > layers else ram * RAM_SHARE + (gpu if advice.layers else 0)
        assert taken_bytes(model, advice) <= room
        assert advice.context_tokens <= max(trained, 256)
