from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.gateway.local.scheduling.engine_rig import tuned
from tests.tiny_gguf import TextShape, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.local.binding.context import Context
    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning

TEXT = list(range(30, 60))


@pytest.fixture
def make(tiny_model: Model) -> Iterator[Callable[[Tuning], Context]]:
    from gateway.local.binding.context import Context  # noqa: PLC0415 - loads llama.cpp

    made: list[Context] = []

    def context(tuning: Tuning) -> Context:
        made.append(Context(tiny_model, tuning))
        return made[-1]

    yield context
    for one in made:
        one.close()


@pytest.fixture(params=[False, True], ids=["split", "unified"])
def context(make: Callable[[Tuning], Context], request: pytest.FixtureRequest) -> Context:
    return make(tuned(unified=request.param))


def read(context: Context, slot: int, tokens: list[int]) -> np.ndarray:
    from gateway.local.binding.context import Part  # noqa: PLC0415 - loads llama.cpp

    row: np.ndarray = context.read([Part(slot, tokens, 1)])[0].copy()
    return row


def test_what_a_sequence_knows_leads_to_the_same_row(context: Context) -> None:
    """Read at once, read in parts, copied, or taken back to: what is known is known."""
    whole = read(context, 0, TEXT)
    read(context, 1, TEXT[:-1])
    assert np.allclose(read(context, 1, TEXT[-1:]), whole, atol=1e-2)
    assert context.copy(0, 2, 29) == 29
    assert np.allclose(context.write([2], TEXT[-1:])[0], whole, atol=1e-2)
    read(context, 0, [5, 6, 7])
    assert context.rewind(0, 29) == 29
    assert np.allclose(read(context, 0, TEXT[-1:]), whole, atol=1e-2)
    assert [context.end(slot) for slot in range(4)] == [30, 30, 30, 0]


def test_rows_come_in_the_order_of_the_call(context: Context) -> None:
    from gateway.local.binding.context import Part  # noqa: PLC0415 - loads llama.cpp

    alone = [read(context, slot, tokens) for slot, tokens in enumerate([TEXT, TEXT[5:20], TEXT[9:]])]
    for slot in range(3):
        context.clear(slot)
    parts = [Part(2, TEXT[9:], 1), Part(3, TEXT[3:7], 0), Part(0, TEXT, 1), Part(1, TEXT[5:20], 1)]
    rows = context.read(parts)
    assert rows.shape[0] == 3
    for row, expected in zip(rows, [alone[2], alone[0], alone[1]], strict=True):
        assert np.allclose(row, expected, atol=1e-2)
    written = context.write([3, 0], [TEXT[7], 9]).copy()
    context.clear(3)
    assert np.allclose(read(context, 3, TEXT[3:8]), written[0], atol=1e-2)


def test_several_rows_of_one_sequence(context: Context) -> None:
    from gateway.local.binding.context import Part  # noqa: PLC0415 - loads llama.cpp

    rows = context.read([Part(0, TEXT, 3)]).copy()
    assert len(rows) == 3
    assert np.allclose(read(context, 1, TEXT[:28]), rows[0], atol=1e-2)


def test_nothing_that_aborts_llama_cpp_gets_there(context: Context) -> None:
    from gateway.local.binding.context import Part  # noqa: PLC0415 - loads llama.cpp
    from gateway.local.binding.llama import DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    too_long = [1] * (context.batch_tokens + 1)
    for parts in ([Part(0, [], 0)], [Part(0, too_long, 1)], [Part(0, [1], 2)], [Part(0, TEXT * 4, 100)]):
        with pytest.raises(DecodeFailed, match="fit"):
            context.read(parts)
    with pytest.raises(DecodeFailed, match="fit"):
        context.write([], [])
    for _ in range(context.context_tokens // context.batch_tokens):
        read(context, 0, [1] * context.batch_tokens)
    with pytest.raises(DecodeFailed, match="fit"):
        context.write([0], [1])
    with pytest.raises(DecodeFailed, match="fit"):
        read(context, 0, [1])


def test_a_token_that_does_not_exist_is_llama_cpps_no_and_changes_nothing(context: Context) -> None:
    from gateway.local.binding.llama import DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    whole = read(context, 0, TEXT)
    with pytest.raises(DecodeFailed, match="llama_decode says -1"):
        context.write([0, 1], [10**6, 4])
    assert context.end(0) == 30
    context.rewind(0, 29)
    assert np.allclose(read(context, 0, TEXT[-1:]), whole, atol=1e-2)


def test_full_cells_are_told_and_change_nothing(make: Callable[[Tuning], Context]) -> None:
    from gateway.local.binding.context import NoRoom  # noqa: PLC0415 - loads llama.cpp

    context = make(tuned(unified=True, context_tokens=256, batch_tokens=128))
    for slot in range(2):
        read(context, slot, [3] * 128)
    with pytest.raises(NoRoom):
        read(context, 2, [3])
    assert [context.end(slot) for slot in range(4)] == [128, 128, 0, 0]
    assert context.rewind(1, 100) == 100
    assert len(context.write([2, 0], [3, 3])) == 2


def test_slots_can_swap_what_they_know(make: Callable[[Tuning], Context]) -> None:
    context = make(tuned())
    rows = [read(context, 0, TEXT), read(context, 1, TEXT[5:20])]
    assert context.swap(0, 1)
    assert [context.end(slot) for slot in range(2)] == [15, 30]
    assert context.swap(1, 2)
    assert [context.end(slot) for slot in range(3)] == [15, 0, 30]
    context.rewind(2, 29)
    context.rewind(0, 14)
    assert np.allclose(read(context, 2, TEXT[29:]), rows[0], atol=1e-2)
    assert np.allclose(read(context, 0, TEXT[19:20]), rows[1], atol=1e-2)


def test_a_new_context_knows_nothing(context: Context) -> None:
    whole = read(context, 0, TEXT)
    context.renew()
    assert context.end(0) == 0
    assert np.allclose(read(context, 0, TEXT), whole, atol=1e-2)


def test_shapes_are_what_was_asked_for(make: Callable[[Tuning], Context]) -> None:
    split, unified = make(tuned()), make(tuned(unified=True))
    assert (split.slots, split.context_tokens, split.cells, split.batch_tokens) == (4, 512, 2048, 128)
    assert (unified.slots, unified.context_tokens, unified.cells) == (4, 512, 512)
    assert make(tuned(kv_type="bf16", flash_attention=True)).context_tokens == 512


def test_a_context_that_cannot_be_made_is_told(make: Callable[[Tuning], Context]) -> None:
    from gateway.local.binding.llama import ModelUnusable  # noqa: PLC0415 - loads llama.cpp

    with pytest.raises(ModelUnusable, match="4 slots of 512 tokens"):
        make(tuned(kv_type="q8_0"))  # its blocks of 32 do not divide a head of this model


def test_layers_with_a_window_see_all_of_it_after_every_copy(tiny_folder: Path) -> None:
    """What llama.cpp leaves out of a copy by way of the host is missing where a text is cut."""
    from gateway.local.binding.context import Context  # noqa: PLC0415 - loads llama.cpp
    from gateway.local.binding.llama import Model, start_library  # noqa: PLC0415 - the same

    start_library()
    model = Model(tiny_text_model(tiny_folder, TextShape(layers=4, window_tokens=16), name="w.gguf"), lambda _: None)
    context = Context(model, tuned())
    text = [30 + number * 7 % 150 for number in range(100)]
    try:
        read(context, 0, text[:60])
        row, end = read(context, 0, text[60:90]), read(context, 0, text[90:])
        assert context.copy(0, 1, 60) == 60
        assert np.array_equal(read(context, 1, text[60:90]), row)
        state = context.save(0)
        assert not context.can_cut_copies
        assert context.restore(2, state, 100, 60) == 0
        assert context.restore(2, state, 100, 99) == 99
        assert np.allclose(read(context, 2, text[99:]), end, atol=1e-3)
    finally:
        context.close()
        model.close()
