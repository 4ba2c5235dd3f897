"""Where layers go is where they were asked to go, or it is said why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.engine_devices import (
    ON_CPU,
    Build,
    Device,
    DeviceRefused,
    Placement,
    Wish,
    check_homes,
    homes,
    placement,
)

GIB = 1 << 30
CPU = Device("CPU", "Some Processor", "cpu", 8 * GIB, 16 * GIB)
CUDA0, CUDA1 = (Device(f"CUDA{n}", "NVIDIA H100", "gpu", 79 * GIB, 80 * GIB, n + 1) for n in range(2))
IGPU = Device("Vulkan0", "Integrated", "integrated gpu", 4 * GIB, 4 * GIB, 9)

CPU_ONLY = Build(("CPU",), (CPU,))
NO_CARD = Build(("CUDA", "CPU"), (CPU,))
TWO_CARDS = Build(("CUDA", "CPU"), (CUDA0, CUDA1, CPU))
LAPTOP = Build(("Vulkan", "CPU"), (IGPU, CPU))


def test_without_a_wish_everything_goes_to_all_gpus_that_llama_cpp_chooses() -> None:
    assert placement(Wish(), TWO_CARDS) == Placement(-1, None, "layer", ())


def test_a_named_device_is_the_one_that_is_used() -> None:
    assert placement(Wish(12, ("CUDA1",), "none"), TWO_CARDS) == Placement(12, (CUDA1,), "none", ())
    assert placement(Wish(-1, ("CUDA1", "CUDA0"), parts=(3, 1)), TWO_CARDS).chosen == (CUDA1, CUDA0)


def test_no_layers_means_no_gpu_at_all_not_even_for_scratch_memory() -> None:
    assert placement(Wish(0), TWO_CARDS) == ON_CPU
    assert ON_CPU.chosen == ()


def test_a_cpu_without_a_wish_for_more_is_nothing_to_speak_of() -> None:
    assert placement(Wish(), CPU_ONLY) == ON_CPU


@pytest.mark.parametrize(("build", "signs"), [(CPU_ONLY, True), (NO_CARD, False)])
def test_landing_on_the_cpu_of_a_machine_that_speaks_for_a_gpu_is_told(build: Build, signs: bool) -> None:  # noqa: FBT001 - parametrized
    where = placement(Wish(), build, has_signs_of_gpu=signs)
    assert (where.layers, where.chosen) == (0, ())
    assert where.warning.startswith("the model is on the CPU: ")


@pytest.mark.parametrize(
    ("wish", "build", "reason"),
    [
        (Wish(1), CPU_ONLY, "computes on the CPU only"),
        (Wish(99), NO_CARD, "built for CUDA, finds no such device"),
        (Wish(-1, ("CUDA0",)), CPU_ONLY, "no GPU CUDA0: this build"),
        (Wish(-1, ("CUDA7",)), TWO_CARDS, "no GPU CUDA7: there is CUDA0, CUDA1"),
        (Wish(-1, ("CPU",)), TWO_CARDS, "no GPU CPU"),
        (Wish(0, ("CUDA0",)), TWO_CARDS, "gpu_layers is 0"),
        (Wish(-1, parts=(1, 1, 1)), TWO_CARDS, "3 parts for 2 devices"),
        (Wish(-1, ("CUDA0",), parts=(1, 1)), TWO_CARDS, "2 parts for 1 devices"),
        (Wish(-1, ("CUDA0", "CUDA1"), "none"), TWO_CARDS, "one GPU, and 2 are named"),
        (Wish(-1, split="tensor"), TWO_CARDS, "split must be one of"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(wish: Wish, build: Build, reason: str) -> None:
    with pytest.raises(DeviceRefused, match=reason):
        placement(wish, build)


def test_an_integrated_gpu_counts_only_where_there_is_no_other() -> None:
    assert LAPTOP.gpus == (IGPU,)
    assert Build(("CUDA", "Vulkan", "CPU"), (IGPU, CUDA0, CPU)).gpus == (CUDA0,)


@pytest.mark.parametrize(
    ("buffers", "build", "held"),
    [
        (["CPU_Mapped", "CPU_REPACK"], CPU_ONLY, ("CPU",)),
        (["CPU_Mapped", "CUDA0"], TWO_CARDS, ("CUDA0", "CPU")),
        (["CUDA1", "CUDA0"], TWO_CARDS, ("CUDA0", "CUDA1")),
        (["CUDA_Host"], TWO_CARDS, ("CPU",)),
        (["CUDA0_Split"], TWO_CARDS, ("CUDA0",)),
        ([], TWO_CARDS, ("CPU",)),
    ],
)
def test_where_weights_are_is_read_from_the_names_of_buffers(
    buffers: list[str], build: Build, held: tuple[str, ...]
) -> None:
    assert homes(buffers, build) == held


def test_a_name_that_begins_like_another_is_not_taken_for_it() -> None:
    ten = Build(("CUDA",), tuple(CUDA0._replace(name=f"CUDA{n}") for n in range(11)))
    assert homes(["CUDA10"], ten) == ("CUDA10",)


def test_layers_that_were_left_behind_are_found_out() -> None:
    where = placement(Wish(20), TWO_CARDS)
    check_homes(where, ("CUDA0", "CPU"))
    with pytest.raises(DeviceRefused, match="left all layers on the CPU"):
        check_homes(where, ("CPU",))
    check_homes(ON_CPU, ("CPU",))


@given(
    st.builds(
        Wish,
        st.integers(-1, 40),
        st.lists(st.sampled_from(["CUDA0", "CUDA1", "Vulkan0", "CPU"]), max_size=3, unique=True).map(tuple),
        st.sampled_from(["none", "layer", "row"]),
        st.lists(st.floats(0.1, 4), max_size=3).map(tuple),
    ),
    st.sampled_from([CPU_ONLY, NO_CARD, TWO_CARDS, LAPTOP]),
)
def test_a_wish_for_layers_on_a_gpu_is_never_answered_by_the_cpu(wish: Wish, build: Build) -> None:
    try:
        where = placement(wish, build, has_signs_of_gpu=True)
    except DeviceRefused:
        return
    if wish.layers > 0 or wish.devices:
        assert where.layers == wish.layers
        assert build.gpus
    if not build.gpus and wish.layers:
        assert where.warning
