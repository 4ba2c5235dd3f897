from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

pytest.importorskip("llama_cpp")

from adapters.llama_cpp_job import Job, Place, Sampling
from gateway.local.scheduling.gauges import Gauges
from gateway.local.scheduling.recall import Recall, Text
from gateway.local.scheduling.states import StateStore
from policies.placement import KEEP_FROM_TOKENS, Terms
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from gateway.local.binding.llama import Model

FOX = "The quick brown fox jumps over the lazy dog. " * 5
HEN = "A brood hen sat on twelve white eggs all night. " * 5
ONE_SLOT = tuned(slots=1, context_tokens=512)


def job(number: int, prompt: str, scope: str = "", sampling: Sampling = GREEDY) -> Job:
    return Job(number, prompt=prompt, sampling=sampling, max_tokens=12, place=Place(scope=scope))


@pytest.mark.parametrize(
    "tuning", [ONE_SLOT, msgspec.structs.replace(ONE_SLOT, unified=True)], ids=["split", "unified"]
)
def test_what_another_prompt_took_the_place_of_comes_back(tiny_model: Model, tuning: object) -> None:
    with Rig(tiny_model, tuning) as rig:  # type: ignore[arg-type]
        store = StateStore(1 << 20)
        rig.engine.keep_states(store)
        ((first,),) = rig.run(job(1, FOX))
        rig.run(job(2, HEN))
        assert len(store) == 1
        ((again,),) = rig.run(job(3, FOX))
        assert rig.started(3).cached_tokens == rig.started(3).prompt_tokens - 1
        assert rig.started(2).cached_tokens == 0
        assert again[:4] == first[:4]
        # What comes next in the conversation finds the answer there too.
        rig.run(job(4, HEN))
        rig.run(job(5, FOX + first + " And then?"))
        assert rig.started(5).cached_tokens > rig.started(1).prompt_tokens
        rig.at_rest()


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=5)], ids=["greedy", "seeded"])
def test_deterministic_answers_stay_what_they_are(tiny_model: Model, sampling: Sampling) -> None:
    """Only whole cells of the grid come back."""
    with Rig(tiny_model, tuned(slots=1, deterministic=True)) as rig:
        rig.engine.keep_states(StateStore(1 << 20))
        (first,) = rig.run(job(1, FOX, sampling=sampling))
        rig.run(job(2, HEN))
        (again,) = rig.run(job(3, FOX, sampling=sampling))
        assert again == first
        assert rig.started(3).cached_tokens == rig.started(3).prompt_tokens // 64 * 64


def test_tenants_share_nothing(tiny_model: Model) -> None:
    with Rig(tiny_model, ONE_SLOT) as rig:
        rig.engine.keep_states(StateStore(1 << 20))
        rig.run(job(1, FOX, "a"))
        rig.run(job(2, FOX, "b"))
        rig.run(job(3, FOX, "a"))
        assert rig.started(2).cached_tokens == 0
        assert rig.started(3).cached_tokens > KEEP_FROM_TOKENS


def test_many_prompts_in_few_slots_all_end(tiny_model: Model) -> None:
    with Rig(tiny_model, tuned(slots=2, context_tokens=512)) as rig:
        store = StateStore(300_000)
        rig.engine.keep_states(store)
        jobs = [job(number, f"{number % 5}: {FOX}") for number in range(30)]
        rig.run(*jobs)
        assert 0 < store.size_bytes <= 300_000
        assert rig.engine.standing().cached_tokens > 1000
        rig.at_rest()


def test_an_idle_engine_copies_what_would_end_with_its_process(tiny_model: Model) -> None:
    class Notes:
        written = 0

        def write(self, _: object) -> None:
            self.written += 1

        def use(self, _: object) -> None: ...

        def drop(self, _: object) -> None: ...

    notes = Notes()
    with Rig(tiny_model, tuned(slots=2, context_tokens=512)) as rig:
        rig.engine.keep_states(StateStore(1 << 20, notes))
        slots = rig.engine._slots
        assert not slots.has_unkept
        rig.run(job(1, FOX), job(2, HEN))
        rig.at_rest()
        assert slots.has_unkept
        slots.keep_one()
        slots.keep_one()
        assert (notes.written, slots.has_unkept) == (2, False)


def test_a_copy_that_does_not_fit_the_context_is_read_again(tiny_model: Model) -> None:
    """As one from a disk may be, whatever its checksum says."""
    with Rig(tiny_model, ONE_SLOT) as rig:
        tokens = list(range(30, 230))
        context, store = rig.context, StateStore(1 << 20)
        recall = Recall(context, store, Gauges())
        from gateway.local.binding.context import Part  # noqa: PLC0415 - loads llama.cpp

        context.read([Part(0, tokens[:120], 1)])
        context.read([Part(0, tokens[120:], 1)])
        recall.keep(Text(0, "", tokens, 200))
        found = recall.find("", [*tokens, 7], 0, Terms())
        assert found is not None
        kept, shared = found
        assert shared == 200
        assert recall.restore(0, kept, shared) == 200
        broken = kept.state.copy()
        broken[:64] = 255
        for state, cells in [(kept.state, 201), (kept.state, 100_000), (kept.state[:-9], 200), (broken, 200)]:
            assert context.restore(0, state, cells, 150) == 0
            assert context.end(0) == 0
        assert context.restore(0, kept.state, 200, 150) == 150
        assert recall.pace().kept > 0
        assert recall.pace().restored > 0
