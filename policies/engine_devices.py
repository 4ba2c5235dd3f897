"""Which devices take a model's layers, and whether they did.

Whoever asks for a GPU that is not there is refused, and a model never lands on the CPU unsaid: "my GPU is not used" is
what users of llama.cpp complain of most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

GPU_KINDS: Final = frozenset({"gpu", "integrated gpu"})
SPLITS: Final = ("none", "layer", "row")
NO_GPU_BACKENDS: Final = frozenset({"CPU", "BLAS", "RPC"})
HOW_TO_BUILD: Final = "docs/engine.md says how to build it for a GPU, `pointsman engine doctor` what is missing"


class DeviceRefused(ValueError):  # noqa: N818 - it states what became of a wish
    """The tuning asks for a device that is not there, or for what does not go together."""


class Device(NamedTuple):
    """A device as ggml tells of it. `kind` is cpu, gpu, integrated gpu, accelerator or other; `handle` its pointer."""

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int
    handle: int = 0


class Build(NamedTuple):
    """What a build of llama.cpp has compiled in, and what it finds on this machine."""

    backends: tuple[str, ...]
    devices: tuple[Device, ...]

    @property
    def gpus(self) -> tuple[Device, ...]:
        """Those that llama.cpp takes by itself: integrated ones only where there are no others."""
        own = tuple(device for device in self.devices if device.kind == "gpu")
        return own or tuple(device for device in self.devices if device.kind in GPU_KINDS)

    @property
    def gpu_backends(self) -> tuple[str, ...]:
        return tuple(name for name in self.backends if name not in NO_GPU_BACKENDS)


class Wish(NamedTuple):
    """What the policy file says of devices. -1 layers are all, where there is a GPU; `devices` empty are all GPUs."""

    layers: int = -1
    devices: tuple[str, ...] = ()
    split: str = "layer"
    parts: tuple[float, ...] = ()


class Placement(NamedTuple):
    """Which devices take how many layers (-1: all) in which parts. `chosen` None leaves the choice to llama.cpp."""

    layers: int
    chosen: tuple[Device, ...] | None
    split: str = "layer"
    parts: tuple[float, ...] = ()
    warning: str = ""


ON_CPU: Final = Placement(0, (), "none")


def placement(wish: Wish, build: Build, *, has_signs_of_gpu: bool = False) -> Placement:
    """Where the layers go. Raises `DeviceRefused` where that is not what was asked for.

    Without a wish for GPUs the CPU is fine; it is worth a warning where the machine or the build speaks for a GPU.
    """
    if wish.split not in SPLITS:
        raise DeviceRefused(f"split must be one of {', '.join(SPLITS)}")
    if wish.layers == 0:
        if wish.devices:
            raise DeviceRefused("devices are named, but gpu_layers is 0")
        return ON_CPU
    named = tuple(_named(name, build) for name in wish.devices)
    if not build.gpus:
        reason = why_no_gpu(build)
        if wish.layers > 0:
            raise DeviceRefused(f"gpu_layers asks for a GPU, but {reason}; {HOW_TO_BUILD}")
        is_news = has_signs_of_gpu or build.gpu_backends
        return ON_CPU._replace(warning=f"the model is on the CPU: {reason}; {HOW_TO_BUILD}" if is_news else "")
    if wish.split == "none":
        if len(named) > 1:
            raise DeviceRefused(f"split none keeps a model on one GPU, and {len(named)} are named")
        return Placement(wish.layers, named or None, wish.split)
    if len(wish.parts) > len(named or build.gpus):
        raise DeviceRefused(f"tensor_split has {len(wish.parts)} parts for {len(named or build.gpus)} devices")
    return Placement(wish.layers, named or None, wish.split, wish.parts)


def _named(name: str, build: Build) -> Device:
    gpus = tuple(device for device in build.devices if device.kind in GPU_KINDS)
    for device in gpus:
        if device.name == name:
            return device
    known = f"there is {', '.join(device.name for device in gpus)}" if gpus else f"{why_no_gpu(build)}; {HOW_TO_BUILD}"
    raise DeviceRefused(f"there is no GPU {name}: {known}")


def why_no_gpu(build: Build) -> str:
    if not build.gpu_backends:
        return "this build of llama.cpp computes on the CPU only"
    names = ", ".join(build.gpu_backends)
    return f"llama.cpp, built for {names}, finds no such device (driver? container? CUDA_VISIBLE_DEVICES?)"


def homes(buffers: Iterable[str], build: Build) -> tuple[str, ...]:
    """The devices that hold weights, GPUs first, by llama.cpp's names of its buffers, such as CUDA0 or CPU_REPACK."""
    buffers = tuple(buffers)
    gpus = [device.name for device in build.devices if device.kind in GPU_KINDS]
    owners = [next((name for name in gpus if _belongs(buffer, name)), "CPU") for buffer in buffers]
    held = tuple(name for name in gpus if name in owners)
    return (*held, "CPU") if "CPU" in owners or not held else held


def _belongs(buffer: str, device: str) -> bool:
    return buffer == device or buffer.startswith(f"{device}_")


def check_homes(where: Placement, held_by: Iterable[str]) -> None:
    """Raises `DeviceRefused` where layers were to go to a GPU and llama.cpp left them all on the CPU."""
    if where.layers and not any(name != "CPU" for name in held_by):
        raise DeviceRefused("llama.cpp left all layers on the CPU, though a GPU was to take them")
