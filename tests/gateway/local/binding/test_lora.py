from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("llama_cpp")

from adapters.llama_cpp_job import Job, Sampling
from adapters.schema import InvalidRequest
from gateway.local.binding.context import Context, Part
from gateway.local.binding.llama import Model, ModelUnusable, start_library
from gateway.local.binding.lora import load_adapters, try_adapters
from gateway.local.frames import Load
from tests.gateway.local.scheduling.engine_rig import GREEDY, TUNING, Rig, tuned
from tests.tiny_gguf import TextShape, tiny_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.local.frames import Tuning

PROMPT = "The quick brown fox jumps over the lazy dog. " * 3
LORAS = ("poet", "clerk")


@pytest.fixture(scope="module")
def adapted(tiny_model_path: Path, tiny_folder: Path) -> Iterator[Model]:
    """The tiny model with two adapters that differ."""
    start_library()
    model = Model(tiny_model_path, lambda _: None)
    files = [tiny_adapter(tiny_folder, TextShape(seed=seed), name=f"{seed}.gguf") for seed in (1, 2)]
    load = Load(str(tiny_model_path), adapters=tuple(zip(LORAS, map(str, files), strict=True)))
    model.adapters = load_adapters(model, load)
    yield model
    model.close()


def job(number: int, adapter: str | None, sampling: Sampling = GREEDY, choices: int = 1) -> Job:
    return Job(number, prompt=PROMPT, sampling=sampling, max_tokens=12, adapter=adapter, choices=choices)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=3)], ids=["greedy", "seeded"])
def test_at_the_same_moment_each_adapter_answers_as_alone(adapted: Model, sampling: Sampling) -> None:
    names = (None, *LORAS)
    alone = []
    for name in names:
        with Rig(adapted, tuned(deterministic=True)) as rig:
            alone.append(rig.run(job(1, name, sampling))[0])
    assert len({text for (text,) in alone}) == 3
    with Rig(adapted, tuned(deterministic=True)) as rig:
        assert rig.run(*[job(number, name, sampling) for number, name in enumerate(names)]) == alone
        rig.at_rest()


@pytest.mark.parametrize(
    "tuning",
    [tuned(slots=3, context_tokens=256), tuned(slots=3, context_tokens=768, unified=True)],
    ids=["split", "unified"],
)
def test_more_runs_than_slots_all_end(adapted: Model, tuning: Tuning) -> None:
    jobs = [job(number, (None, *LORAS)[number % 3], choices=1 + number % 2) for number in range(12)]
    with Rig(adapted, tuning) as rig:
        texts = rig.run(*jobs)
        assert all(text for choices in texts for text in choices)
        assert len({choices[0] for choices in texts}) == 3
        rig.at_rest()


def test_nothing_read_with_one_adapter_serves_another(adapted: Model) -> None:
    with Rig(adapted) as rig:
        rig.run(job(1, "poet"))
        rig.run(job(2, "clerk"))
        rig.run(job(3, None))
        rig.run(job(4, "poet"))
        assert [rig.started(number).cached_tokens for number in (1, 2, 3)] == [0, 0, 0]
        assert rig.started(4).cached_tokens > 100


def test_an_unknown_adapter_is_refused(adapted: Model) -> None:
    with Rig(adapted) as rig, pytest.raises(InvalidRequest, match="no adapter 'nobody'") as refusal:
        rig.submit(job(1, "nobody"))
    assert (refusal.value.param, refusal.value.code) == ("model", "model_not_found")


def test_a_change_of_adapters_changes_the_next_call_and_is_undone(adapted: Model) -> None:
    context = Context(adapted, TUNING)
    try:
        rows = []
        for name in (None, "poet", "clerk", None):
            context.adapt(name)
            context.clear(0)
            rows.append(context.read([Part(0, [1, 2, 3], 1)]).copy())
        assert np.array_equal(rows[0], rows[3])
        assert not np.allclose(rows[0], rows[1], atol=0.1)
        assert not np.allclose(rows[1], rows[2], atol=0.1)
    finally:
        context.close()


def test_a_context_made_anew_computes_with_what_is_asked_for(adapted: Model) -> None:
    context = Context(adapted, TUNING)
    try:
        context.adapt("poet")
        before = context.read([Part(0, [1, 2, 3], 1)]).copy()
        context.renew()
        context.adapt("poet")
        assert np.array_equal(before, context.read([Part(0, [1, 2, 3], 1)]))
    finally:
        context.close()


def test_all_adapters_are_tried_and_a_change_is_timed(adapted: Model) -> None:
    context = Context(adapted, TUNING)
    try:
        assert 0.0 <= try_adapters(context, LORAS) < 1.0
        assert try_adapters(context, ()) == 0.0
        assert context.end(0) == 0
    finally:
        context.close()


def test_a_file_that_does_not_fit_is_refused_by_name(adapted: Model, tiny_model_path: Path, tmp_path: Path) -> None:
    other = tiny_adapter(tmp_path, TextShape(width=32))
    load = Load(str(tiny_model_path), adapters=(("thin", str(other)),))
    with pytest.raises(ModelUnusable, match=r"the adapter thin, .*: is for another model: its shape at"):
        load_adapters(adapted, load)


def test_weights_that_are_no_numbers_are_found_at_the_start(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tiny_adapter(tmp_path, alpha=3.0e38)
    model = Model(tiny_model_path, lambda _: None)
    model.adapters = load_adapters(model, Load(str(tiny_model_path), adapters=(("huge", str(path)),)))
    context = Context(model, TUNING)
    try:
        with pytest.raises(ModelUnusable, match="huge"):
            try_adapters(context, ["huge"])
    finally:
        context.close()
        model.close()
