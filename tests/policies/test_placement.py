from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.placement import (
    KEEP_FROM_TOKENS,
    CopyPace,
    Hold,
    Placement,
    SlotText,
    Terms,
    common_tokens,
    keeping_pays,
    place,
    restoring_pays,
)

ANY = Terms(copy_from_tokens=4, hold_from_tokens=4, is_packed=False)
PACKED = ANY._replace(is_packed=True)
PROMPT = list(range(20))


def free(slot: int, tokens: list[int], *, used_s: float = 0.0, scope: str = "") -> SlotText:
    return SlotText(slot, scope, tokens, tokens, is_free=True, used_s=used_s)


def writing(slot: int, tokens: list[int], *, scope: str = "") -> SlotText:
    return SlotText(slot, scope, tokens, tokens, is_free=False, used_s=0.0)


def reading(slot: int, coming: list[int], known: int, *, scope: str = "") -> SlotText:
    return SlotText(slot, scope, coming[:known], coming, is_free=False, used_s=0.0)


TEXTS = st.tuples(st.integers(0, 300), st.lists(st.integers(0, 2), max_size=6)).map(
    lambda parts: list(range(parts[0])) + parts[1]
)


@given(TEXTS, TEXTS)
def test_common_tokens_are_counted_exactly(left: list[int], right: list[int]) -> None:
    expected = next((at for at, (one, two) in enumerate(zip(left, right, strict=False)) if one != two), None)
    assert common_tokens(left, right) == (min(len(left), len(right)) if expected is None else expected)
    assert common_tokens(array("i", left), array("i", right)) == common_tokens(left, right)


@st.composite
def engines(draw: st.DrawFn) -> list[SlotText]:
    slots = []
    for slot in range(draw(st.integers(1, 6))):
        coming, is_free = draw(TEXTS), draw(st.booleans())
        known = len(coming) if is_free else draw(st.integers(0, len(coming)))
        slots.append(
            SlotText(slot, draw(st.sampled_from("ab")), coming[:known], coming, is_free, draw(st.floats(0.0, 9.0)))
        )
    return slots


TERMS = st.builds(Terms, st.sampled_from([1, 8, 64]), st.just(8), st.just(16), st.booleans(), st.booleans())


@given(TEXTS.filter(bool), engines(), TERMS)
def test_a_placement_is_a_free_slot_and_what_is_kept_is_really_known(
    prompt: list[int], slots: list[SlotText], terms: Terms
) -> None:
    where = place(prompt, "a", slots, terms)
    if isinstance(where, Placement):
        source = slots[where.source]
        assert slots[where.slot].is_free
        assert where.kept_tokens % terms.grid_tokens == 0
        assert where.kept_tokens < len(prompt)
        assert where.kept_tokens == 0 or source.scope == "a"
        assert list(source.tokens[: where.kept_tokens]) == prompt[: where.kept_tokens]
        assert terms.can_copy or where.source == where.slot
    elif isinstance(where, Hold):
        other = slots[where.slot]
        assert not other.is_free
        assert other.scope == "a"
        assert len(other.tokens) < where.shared_tokens <= len(other.coming)
        assert list(other.coming[: where.shared_tokens]) == prompt[: where.shared_tokens]
    else:
        assert not any(slot.is_free for slot in slots)


@given(TEXTS.filter(bool), engines())
def test_other_scopes_make_no_difference_to_what_is_kept(prompt: list[int], slots: list[SlotText]) -> None:
    strangers = [slot._replace(scope="b") for slot in slots]
    where = place(prompt, "a", strangers, ANY)
    assert where is None or (isinstance(where, Placement) and where.kept_tokens == 0)


def test_a_free_slot_that_knows_the_beginning_is_taken_over() -> None:
    slots = [free(0, [], used_s=1.0), free(1, PROMPT[:9], used_s=2.0)]
    assert place(PROMPT, "", slots, ANY) == Placement(1, 1, 9)


def test_the_last_token_is_always_read_anew() -> None:
    assert place(PROMPT, "", [free(0, [*PROMPT, 1])], ANY) == Placement(0, 0, 19)


def test_where_nothing_is_known_the_slot_goes_that_was_idle_longest() -> None:
    slots = [free(0, [7], used_s=3.0), free(1, [8], used_s=1.0), free(2, [9], used_s=2.0)]
    assert place(PROMPT, "", slots, ANY) == Placement(1, 1, 0)


def test_what_a_busy_slot_knows_is_copied() -> None:
    slots = [writing(0, [*PROMPT[:10], 99]), free(1, [])]
    assert place(PROMPT, "", slots, ANY) == Placement(1, 0, 10)
    assert place(PROMPT, "", slots, ANY._replace(can_copy=False)) == Placement(1, 1, 0)
    assert place(PROMPT, "", slots, ANY._replace(copy_from_tokens=11)) == Placement(1, 1, 0)


def test_what_is_being_read_is_waited_for_unless_it_is_known_elsewhere() -> None:
    slots = [reading(0, PROMPT, 2), free(1, [])]
    assert place(PROMPT, "", slots, ANY) == Hold(0, 19)
    assert place(PROMPT, "", [*slots, free(2, PROMPT[:16])], ANY) == Placement(2, 2, 16)
    assert place(PROMPT, "", slots, ANY._replace(hold_from_tokens=20)) == Placement(1, 1, 0)


def test_the_longest_reading_is_the_one_to_wait_for() -> None:
    slots = [reading(0, PROMPT[:6], 0), reading(1, PROMPT[:12], 0), free(2, [])]
    assert place(PROMPT, "", slots, ANY) == Hold(1, 12)


def test_a_hold_ends_when_its_part_is_read_even_if_more_is_coming() -> None:
    slots = [reading(0, [*PROMPT[:10], *[99] * 50], 10), free(1, [])]
    assert place(PROMPT, "", slots, ANY) == Placement(1, 0, 10)


def test_who_was_cancelled_holds_nobody() -> None:
    slots = [SlotText(0, "", PROMPT[:8], PROMPT, is_free=True, used_s=1.0), free(1, [])]
    assert place(PROMPT, "", slots, ANY) == Placement(0, 0, 8)


def test_only_whole_cells_of_the_grid_are_kept() -> None:
    terms = ANY._replace(grid_tokens=8)
    assert place(PROMPT, "", [free(0, PROMPT[:15])], terms) == Placement(0, 0, 8)


def test_busy_slots_become_neighbours() -> None:
    slots = [writing(0, [1]), free(1, [], used_s=5.0), writing(2, [1]), free(3, []), free(4, [])]
    assert place(PROMPT, "", slots, PACKED) == Placement(1, 1, 0)
    assert place(PROMPT, "", slots[2:], PACKED) == Placement(3, 3, 0)


def test_to_stay_neighbours_a_free_slots_text_is_copied() -> None:
    slots = [writing(0, [1]), free(1, []), free(2, []), free(3, PROMPT[:9])]
    assert place(PROMPT, "", slots, PACKED) == Placement(1, 3, 9)
    assert place(PROMPT, "", slots, PACKED._replace(can_copy=False)) == Placement(3, 3, 9)


@pytest.mark.parametrize("terms", [ANY, PACKED])
def test_where_all_slots_are_busy_nobody_is_placed(terms: Terms) -> None:
    assert place(PROMPT, "", [reading(0, PROMPT, 3), writing(1, PROMPT)], terms) is None


def test_neighbours_are_those_of_the_same_adapter() -> None:
    """Nobody else's calls are shared."""
    busy = [writing(0, [1])._replace(adapter="poet"), writing(3, [2])]
    slots = [busy[0], free(1, []), free(2, [], used_s=1.0), busy[1]]
    assert place(PROMPT, "poet", slots, PACKED, "poet") == Placement(1, 1, 0)
    assert place(PROMPT, "", slots, PACKED) == Placement(2, 2, 0)


def test_what_is_short_is_not_kept() -> None:
    assert not keeping_pays(1000, KEEP_FROM_TOKENS - 1, CopyPace())
    assert keeping_pays(1000, KEEP_FROM_TOKENS, CopyPace())


def test_what_is_kept_is_worth_more_copies_than_are_used() -> None:
    """A second of reading against four copies out and one back."""
    assert keeping_pays(1000, 1000, CopyPace(read=1000.0, kept=8000.0, restored=2000.0))
    assert not keeping_pays(1000, 1000, CopyPace(read=1000.0, kept=7000.0, restored=2000.0))
    assert not keeping_pays(1000, 500, CopyPace(read=1000.0, kept=8000.0, restored=2000.0))


def test_what_comes_back_is_faster_than_reading() -> None:
    pace = CopyPace(read=1000.0, kept=1.0, restored=2000.0)
    assert restoring_pays(1000, 500, pace, ANY)
    assert not restoring_pays(1000, 499, pace, ANY)
    assert not restoring_pays(1000, 3, CopyPace(), ANY)
    assert restoring_pays(1000, 4, CopyPace(), ANY)
